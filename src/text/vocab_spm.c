/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tokenizer.model → cria_vocab. The file is one protobuf message (sentencepiece_model.proto, ModelProto);
 * this reads its wire format (protobuf.dev/programming-guides/encoding) by hand, because five messages of
 * scalars need no library.
 *
 * As protobuf does: unknown fields are skipped, the last of a repeated scalar counts, a repeated sub-message
 * adds to the first. Unlike it: groups, wrong wire types, piece types of the future and strings that are no
 * UTF-8 are refused. What a valid model is, is what SentencePiece 0.2.3 accepts
 * (ModelInterface::InitializePieces, the model classes' constructors, SentencePieceProcessor::Load); bos, eos
 * and pad are found by their piece, as it does.
 */
#include "base/half.h"
#include "base/mem.h"
#include "base/reader.h"
#include "base/status.h"
#include "base/utf8.h"
#include "text/vocab.h"

#include <math.h>
#include <string.h>

#define SPM_PIECE_MAX 8000u /* SentencePiece refuses pieces of so many bytes or more */

enum wire_type { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

struct bytes { /* borrowed from the file */
    const uint8_t *data;
    size_t len;
};

struct field {
    const uint8_t *at; /* its tag in the file */
    uint32_t number;
    enum wire_type type;
    uint64_t value;     /* VARINT, FIXED32, FIXED64 */
    struct bytes bytes; /* BYTES */
};

/* What is read before the vocabulary is built. */
struct model {
    const uint8_t *file; /* for offsets in messages */
    const char *name;
    cria_error *err;
    uint32_t n_pieces;
    size_t text_bytes; /* of all pieces, with a NUL each */
    uint64_t model_type;
    bool byte_fallback, suffix;
    struct bytes unk_surface, bos, eos, pad;
    struct normalizer {
        bool add_dummy_prefix, remove_extra_whitespaces, escape_whitespaces;
        struct bytes charsmap;
    } normalizer, denormalizer;
};

struct piece {
    struct bytes text;
    float score;
    uint64_t type;
};

static cria_status damaged(const struct model *m, const uint8_t *at, const char *what) {
    const uint64_t where = (uint64_t)(at - m->file);
    return cria_fail(m->err, CRIA_EFORMAT, where,
                     "%s: %s at byte %llu; the file is damaged or not a SentencePiece model.", m->name, what,
                     (unsigned long long)where);
}

static bool read_varint(cria_reader *r, uint64_t *out) {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t b;
        if (!cria_read_u8(r, &b)) return false;
        value |= (uint64_t)(b & 0x7f) << shift;
        if (b < 0x80) {
            *out = value;
            return true;
        }
    }
    return false;
}

/* Reads the next field of a message; the caller has checked that bytes are left. */
static cria_status next_field(const struct model *m, cria_reader *r, struct field *f) {
    const uint8_t *at = r->base + r->pos;
    *f = (struct field){.at = at}; /* whole also after a failure, which gcc 14 cannot see that nobody looks behind */
    uint64_t tag, len;
    if (!read_varint(r, &tag) || tag > UINT32_MAX || tag >> 3 == 0) return damaged(m, at, "a bad field tag");
    f->number = (uint32_t)tag >> 3;
    f->type = (enum wire_type)(tag & 7);
    uint32_t u32;
    switch (f->type) {
    case WIRE_VARINT:
        if (!read_varint(r, &f->value)) return damaged(m, at, "a number that does not end");
        return CRIA_OK;
    case WIRE_FIXED64:
        if (!cria_read_u64(r, &f->value)) return damaged(m, at, "a 64-bit field cut off");
        return CRIA_OK;
    case WIRE_FIXED32:
        if (!cria_read_u32(r, &u32)) return damaged(m, at, "a 32-bit field cut off");
        f->value = u32;
        return CRIA_OK;
    case WIRE_BYTES:
        if (!read_varint(r, &len) || !cria_read_bytes(r, len, &f->bytes.data))
            return damaged(m, at, "a length that reaches past the end of its message");
        f->bytes.len = (size_t)len;
        return CRIA_OK;
    default: return damaged(m, at, "a field of a wire type that these files do not have");
    }
}

static cria_status want(const struct model *m, const struct field *f, enum wire_type type) {
    return f->type == type ? CRIA_OK : damaged(m, f->at, "a field of the wrong wire type");
}

static cria_status take_number(const struct model *m, const struct field *f, uint64_t *out) {
    const cria_status st = want(m, f, WIRE_VARINT);
    if (st == CRIA_OK) *out = f->value;
    return st;
}

static cria_status take_flag(const struct model *m, const struct field *f, bool *out) {
    const cria_status st = want(m, f, WIRE_VARINT);
    if (st == CRIA_OK) *out = f->value != 0;
    return st;
}

static cria_status take_float(const struct model *m, const struct field *f, float *out) {
    const cria_status st = want(m, f, WIRE_FIXED32);
    if (st == CRIA_OK) *out = cria_f32_from_bits((uint32_t)f->value);
    return st;
}

static cria_status take_bytes(const struct model *m, const struct field *f, struct bytes *out) {
    const cria_status st = want(m, f, WIRE_BYTES);
    if (st == CRIA_OK) *out = f->bytes;
    return st;
}

static cria_status piece_field(const struct model *m, const struct field *f, struct piece *out) {
    switch (f->number) {
    case 1: return take_bytes(m, f, &out->text);
    case 2: return take_float(m, f, &out->score);
    case 3: return take_number(m, f, &out->type);
    default: return CRIA_OK;
    }
}

static cria_status read_piece(const struct model *m, struct bytes msg, struct piece *out) {
    cria_reader r = cria_reader_init(msg.data, msg.len);
    struct field f;
    cria_status st = CRIA_OK;
    *out = (struct piece){.type = CRIA_PIECE_NORMAL};
    while (cria_reader_left(&r) > 0 && st == CRIA_OK) {
        st = next_field(m, &r, &f);
        if (st == CRIA_OK) st = piece_field(m, &f, out);
    }
    return st;
}

static cria_status trainer_field(struct model *m, const struct field *f) {
    switch (f->number) {
    case 3: return take_number(m, f, &m->model_type);
    case 24: return take_flag(m, f, &m->suffix);
    case 35: return take_flag(m, f, &m->byte_fallback);
    case 44: return take_bytes(m, f, &m->unk_surface);
    case 46: return take_bytes(m, f, &m->bos);
    case 47: return take_bytes(m, f, &m->eos);
    case 48: return take_bytes(m, f, &m->pad);
    default: return CRIA_OK;
    }
}

static cria_status read_trainer(struct model *m, struct bytes msg) {
    cria_reader r = cria_reader_init(msg.data, msg.len);
    struct field f;
    cria_status st = CRIA_OK;
    while (cria_reader_left(&r) > 0 && st == CRIA_OK) {
        st = next_field(m, &r, &f);
        if (st == CRIA_OK) st = trainer_field(m, &f);
    }
    return st;
}

static cria_status normalizer_field(const struct model *m, const struct field *f, struct normalizer *out) {
    switch (f->number) {
    case 2: return take_bytes(m, f, &out->charsmap);
    case 3: return take_flag(m, f, &out->add_dummy_prefix);
    case 4: return take_flag(m, f, &out->remove_extra_whitespaces);
    case 5: return take_flag(m, f, &out->escape_whitespaces);
    default: return CRIA_OK;
    }
}

static cria_status read_normalizer(const struct model *m, struct bytes msg, struct normalizer *out) {
    cria_reader r = cria_reader_init(msg.data, msg.len);
    struct field f;
    cria_status st = CRIA_OK;
    while (cria_reader_left(&r) > 0 && st == CRIA_OK) {
        st = next_field(m, &r, &f);
        if (st == CRIA_OK) st = normalizer_field(m, &f, out);
    }
    return st;
}

static cria_status check_piece(const struct model *m, const struct piece *p) {
    if (p->text.len == 0)
        return cria_fail(m->err, CRIA_EFORMAT, m->n_pieces, "%s: piece %u is empty.", m->name, m->n_pieces);
    if (p->text.len >= SPM_PIECE_MAX)
        return cria_fail(m->err, CRIA_EFORMAT, m->n_pieces, "%s: piece %u has %zu bytes; the most is %u.",
                         m->name, m->n_pieces, p->text.len, SPM_PIECE_MAX - 1);
    if (!cria_utf8_valid(p->text.data, p->text.len))
        return cria_fail(m->err, CRIA_EFORMAT, m->n_pieces, "%s: piece %u is not valid UTF-8.", m->name,
                         m->n_pieces);
    if (p->type < CRIA_PIECE_NORMAL || p->type > CRIA_PIECE_BYTE)
        return cria_fail(m->err, CRIA_EUNSUPPORTED, m->n_pieces,
                         "%s: piece %u is of type %lld; this version knows 1 to 6.", m->name, m->n_pieces,
                         (long long)p->type);
    if (isnan(p->score))
        return cria_fail(m->err, CRIA_EFORMAT, m->n_pieces, "%s: the score of piece %u is not a number.",
                         m->name, m->n_pieces);
    return CRIA_OK;
}

/* First walk: everything but the pieces themselves, which are checked and counted. */
static cria_status read_model(struct model *m, struct bytes msg) {
    cria_reader r = cria_reader_init(msg.data, msg.len);
    struct field f;
    struct piece p;
    while (cria_reader_left(&r) > 0) {
        cria_status st = next_field(m, &r, &f);
        if (st != CRIA_OK) return st;
        if (f.number >= 1 && f.number <= 5 && (st = want(m, &f, WIRE_BYTES)) != CRIA_OK) return st;
        switch (f.number) {
        case 1:
            if ((st = read_piece(m, f.bytes, &p)) != CRIA_OK || (st = check_piece(m, &p)) != CRIA_OK)
                return st;
            if (++m->n_pieces > CRIA_VOCAB_MAX)
                return cria_fail(m->err, CRIA_EUNSUPPORTED, CRIA_NOWHERE, "%s has more than %u pieces.",
                                 m->name, CRIA_VOCAB_MAX);
            m->text_bytes += p.text.len + 1; /* below 2^22 · 2^13 */
            break;
        case 2: st = read_trainer(m, f.bytes); break;
        case 3: st = read_normalizer(m, f.bytes, &m->normalizer); break;
        case 5: st = read_normalizer(m, f.bytes, &m->denormalizer); break;
        default: break;
        }
        if (st != CRIA_OK) return st;
    }
    if (m->n_pieces == 0)
        return cria_fail(m->err, CRIA_EFORMAT, CRIA_NOWHERE,
                         "%s has no pieces; it is not a SentencePiece model.", m->name);
    if (m->text_bytes > UINT32_MAX)
        return cria_fail(m->err, CRIA_EUNSUPPORTED, CRIA_NOWHERE,
                         "The pieces of %s have %zu bytes; the most is %u.", m->name, m->text_bytes,
                         UINT32_MAX);
    return CRIA_OK;
}

/* Second walk: the pieces. The first one has validated everything. */
static cria_status fill_pieces(const struct model *m, struct bytes msg, cria_vocab *v) {
    v->text = cria_malloc(v->ctx, m->text_bytes);
    v->offset = cria_malloc_array(v->ctx, (size_t)m->n_pieces + 1, sizeof *v->offset);
    v->score = cria_malloc_array(v->ctx, m->n_pieces, sizeof *v->score);
    v->type = cria_malloc(v->ctx, m->n_pieces);
    if (!v->text || !v->offset || !v->score || !v->type)
        return cria_fail_nomem(m->err, "the vocabulary", m->text_bytes + (size_t)m->n_pieces * 9);
    cria_reader r = cria_reader_init(msg.data, msg.len);
    struct field f;
    struct piece p;
    uint32_t at = 0;
    while (cria_reader_left(&r) > 0) {
        cria_status st = next_field(m, &r, &f);
        if (st != CRIA_OK) return st;
        if (f.number != 1) continue;
        if ((st = read_piece(m, f.bytes, &p)) != CRIA_OK) return st;
        /* A NUL piece beside byte pieces is a known slip of converters; SentencePiece ignores it. */
        if (m->byte_fallback && p.text.len == 1 && p.text.data[0] == 0) p.type = CRIA_PIECE_UNUSED;
        v->offset[v->n] = at;
        memcpy(v->text + at, p.text.data, p.text.len);
        at += (uint32_t)p.text.len;
        v->text[at++] = '\0';
        v->score[v->n] = p.score;
        v->type[v->n] = (uint8_t)p.type;
        v->n++;
    }
    v->offset[v->n] = at;
    return CRIA_OK;
}

static bool reserved(uint8_t type) {
    return type == CRIA_PIECE_UNKNOWN || type == CRIA_PIECE_CONTROL || type == CRIA_PIECE_BYTE;
}

/* Pieces are unique. Only a unigram model keeps reserved pieces apart, so that one of them may look like a
 * normal one. */
static cria_status check_unique(const struct model *m, const cria_vocab *v) {
    uint8_t *twice = cria_calloc(v->ctx, v->n, 1); /* at the first of two: the other class has it as well */
    if (!twice) return cria_fail_nomem(m->err, "the vocabulary", v->n);
    cria_status st = CRIA_OK;
    for (uint32_t id = 0; id < v->n && st == CRIA_OK; id++) {
        size_t len;
        const char *text = cria_vocab_piece(v, id, &len);
        const int32_t first = cria_vocab_find(v, text, len);
        if (first < 0 || (uint32_t)first == id) continue; /* −1: the ignored NUL piece */
        if (v->model == CRIA_VOCAB_SPM_UNIGRAM && reserved(v->type[first]) != reserved(v->type[id]) &&
            !twice[first])
            twice[first] = 1;
        else
            st = cria_fail(m->err, CRIA_EFORMAT, id, "%s: pieces %d and %u are both \"%.64s\".", m->name,
                           (int)first, id, text);
    }
    cria_free(v->ctx, twice);
    return st;
}

static cria_status check_types(const struct model *m, cria_vocab *v) {
    bool normal = false;
    for (uint32_t id = 0; id < v->n; id++) {
        size_t len;
        const char *text = cria_vocab_piece(v, id, &len);
        const bool ignored = v->type[id] == CRIA_PIECE_UNUSED && len == 1 && text[0] == '\0';
        if (!ignored && memchr(text, 0, len))
            return cria_fail(m->err, CRIA_EFORMAT, id, "%s: piece %u contains a NUL.", m->name, id);
        normal = normal || (!ignored && !reserved(v->type[id]));
        if (v->type[id] == CRIA_PIECE_BYTE && !m->byte_fallback)
            return cria_fail(m->err, CRIA_EFORMAT, id,
                             "%s: piece %u is a byte, but the model has no byte fallback.", m->name, id);
        if (v->type[id] == CRIA_PIECE_UNKNOWN) {
            if (v->unk >= 0)
                return cria_fail(m->err, CRIA_EFORMAT, id, "%s: pieces %d and %u are both the unknown piece.",
                                 m->name, (int)v->unk, id);
            v->unk = (int32_t)id;
        }
        if (v->model == CRIA_VOCAB_SPM_UNIGRAM && isinf(v->score[id]))
            return cria_fail(m->err, CRIA_EFORMAT, id, "%s: the score of piece %u is infinite.", m->name, id);
    }
    if (v->model == CRIA_VOCAB_SPM_UNIGRAM && !normal)
        return cria_fail(m->err, CRIA_EFORMAT, CRIA_NOWHERE, "%s has no normal pieces.", m->name);
    if (!m->byte_fallback) {
        if (v->unk >= 0) return CRIA_OK;
        return cria_fail(m->err, CRIA_EFORMAT, CRIA_NOWHERE,
                         "%s has neither an unknown piece nor byte fallback.", m->name);
    }
    for (int b = 0; b < 256; b++)
        if (v->byte_id[b] < 0)
            return cria_fail(m->err, CRIA_EFORMAT, CRIA_NOWHERE,
                             "%s has byte fallback, but no piece <0x%02X>; it needs all 256.", m->name,
                             (unsigned)b);
    return CRIA_OK;
}

/* The control piece of that text; an empty name means the default one. The index may know a normal twin
 * instead. */
static int32_t find_control(const cria_vocab *v, struct bytes name, const char *otherwise) {
    if (name.len == 0) name = (struct bytes){(const uint8_t *)otherwise, strlen(otherwise)};
    for (uint32_t id = 0; id < v->n; id++) {
        size_t len;
        const char *text = cria_vocab_piece(v, id, &len);
        if (v->type[id] == CRIA_PIECE_CONTROL && len == name.len && memcmp(text, name.data, len) == 0)
            return (int32_t)id;
    }
    return -1;
}

static struct cria_vocab_normalizer copy_normalizer(const struct normalizer *n, uint8_t *at) {
    if (n->charsmap.len) memcpy(at, n->charsmap.data, n->charsmap.len);
    return (struct cria_vocab_normalizer){.add_dummy_prefix = n->add_dummy_prefix,
                                          .remove_extra_whitespaces = n->remove_extra_whitespaces,
                                          .escape_whitespaces = n->escape_whitespaces,
                                          .charsmap = n->charsmap.len ? at : NULL,
                                          .charsmap_len = n->charsmap.len};
}

static cria_status copy_specs(const struct model *m, cria_vocab *v) {
    if (!cria_utf8_valid(m->unk_surface.data, m->unk_surface.len))
        return cria_fail(m->err, CRIA_EFORMAT, CRIA_NOWHERE, "%s: unk_surface is not valid UTF-8.", m->name);
    const size_t maps = m->normalizer.charsmap.len + m->denormalizer.charsmap.len; /* both lie in the file */
    v->unk_surface_len = m->unk_surface.len;
    v->unk_surface = cria_malloc(v->ctx, m->unk_surface.len + 1);
    v->normalizer_data = cria_malloc(v->ctx, maps);
    if (!v->unk_surface || !v->normalizer_data)
        return cria_fail_nomem(m->err, "the normalization rules", maps + m->unk_surface.len);
    if (m->unk_surface.len) memcpy(v->unk_surface, m->unk_surface.data, m->unk_surface.len);
    v->unk_surface[m->unk_surface.len] = '\0';
    v->normalizer = copy_normalizer(&m->normalizer, v->normalizer_data);
    v->normalizer.treat_whitespace_as_suffix = m->suffix; /* not for the denormalizer, as in the library */
    v->denormalizer = copy_normalizer(&m->denormalizer, v->normalizer_data + m->normalizer.charsmap.len);
    return CRIA_OK;
}

static cria_status build(struct model *m, struct bytes msg, cria_vocab *v) {
    cria_status st = read_model(m, msg);
    if (st != CRIA_OK) return st;
    switch (m->model_type) {
    case 1: v->model = CRIA_VOCAB_SPM_UNIGRAM; break;
    case 2: v->model = CRIA_VOCAB_SPM_BPE; break;
    case 3:
    case 4:
        return cria_fail(m->err, CRIA_EUNSUPPORTED, CRIA_NOWHERE,
                         "%s is a SentencePiece %s model; this version reads unigram and bpe models.",
                         m->name, m->model_type == 3 ? "word" : "char");
    default:
        return cria_fail(
            m->err, CRIA_EUNSUPPORTED, CRIA_NOWHERE,
            "%s is a SentencePiece model of type %lld; this version reads 1 (unigram) and 2 (bpe).", m->name,
            (long long)m->model_type);
    }
    v->byte_fallback = m->byte_fallback;
    if ((st = fill_pieces(m, msg, v)) != CRIA_OK) return st;
    if ((st = cria_vocab_index(v, m->name, m->err)) != CRIA_OK) return st;
    if ((st = check_unique(m, v)) != CRIA_OK || (st = check_types(m, v)) != CRIA_OK) return st;
    v->bos = find_control(v, m->bos, "<s>");
    v->eos = find_control(v, m->eos, "</s>");
    v->pad = find_control(v, m->pad, "<pad>");
    v->add_bos = v->bos >= 0;
    return copy_specs(m, v);
}

cria_status cria_vocab_load_spm(cria_ctx *ctx, const uint8_t *data, size_t len, const char *name,
                                cria_vocab *out, cria_error *err) {
    static const char unk_surface[] = " \xE2\x81\x87 ";
    const struct normalizer defaults = {true, true, true, {NULL, 0}};
    struct model m = {.file = data, .name = name, .err = err, .model_type = 1};
    m.normalizer = m.denormalizer = defaults;
    m.unk_surface = (struct bytes){(const uint8_t *)unk_surface, sizeof unk_surface - 1};
    cria_vocab v;
    cria_vocab_init(&v, ctx);
    const cria_status st = build(&m, (struct bytes){data, len}, &v);
    if (st == CRIA_OK)
        *out = v;
    else
        cria_vocab_fini(&v);
    return st;
}
