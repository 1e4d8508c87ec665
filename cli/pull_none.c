/* SPDX-License-Identifier: Apache-2.0 */
/* cria pull, in a build with CRIA_HUB=OFF. */
#include "pull.h"

#include "session.h"

int pull_run(const struct pull_options *o, const struct hub_name *name) {
    (void)o;
    return complain("This cria was built without what fetches models (CRIA_HUB=OFF), so %s is not fetched; build it "
                    "with libcurl and OpenSSL, or use another program of the hub: what that has fetched is found.",
                    name->repo);
}
