/* SPDX-License-Identifier: Apache-2.0 */
#include "digest.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

struct digest *digest_new(const char *expected, uint64_t size) {
    const size_t digits = strlen(expected);
    if (strspn(expected, "0123456789abcdef") != digits || (digits != 40 && digits != 64)) return NULL;
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool ok = md && EVP_DigestInit_ex(md, digits == 40 ? EVP_sha1() : EVP_sha256(), NULL) == 1;
    if (ok && digits == 40) {
        char head[32];
        const int n = snprintf(head, sizeof head, "blob %llu", (unsigned long long)size);
        ok = EVP_DigestUpdate(md, head, (size_t)n + 1) == 1; /* with the NUL */
    }
    if (ok) return (struct digest *)md;
    EVP_MD_CTX_free(md);
    return NULL;
}

bool digest_add(struct digest *d, const void *data, size_t len) {
    return EVP_DigestUpdate((EVP_MD_CTX *)d, data, len) == 1;
}

bool digest_end(struct digest *d, char out[65]) {
    unsigned char bytes[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    if (EVP_DigestFinal_ex((EVP_MD_CTX *)d, bytes, &n) != 1 || n > 32) return false;
    for (unsigned i = 0; i < n; i++) snprintf(out + (size_t)2 * i, 3, "%02x", bytes[i]);
    return true;
}

void digest_free(struct digest *d) { EVP_MD_CTX_free((EVP_MD_CTX *)d); }
