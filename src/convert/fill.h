/* SPDX-License-Identifier: Apache-2.0 */
/* One tensor of the plan from its source into the mapped file: converted, quantized by rounding or by a calibration, or
 * copied. */
#ifndef CRIA_CONVERT_FILL_H
#define CRIA_CONVERT_FILL_H

#include "convert/calibrate.h"
#include "convert/plan.h"

struct cria_convert_filler {
    cria_ctx *ctx;
    const char *path;              /* of the source, for messages */
    cria_calibration *calibration; /* NULL: none; otherwise items come in its order of layers */
    struct cria_calibration_watch watch; /* in weights; done grows */
};

/* item->out[…].data is where it goes. CRIA_EFORMAT: a number is not finite. CRIA_ECANCELLED. */
cria_status cria_convert_fill(struct cria_convert_filler *f, const struct cria_convert_item *item, cria_error *err);
/* Shows the progress: CRIA_ECANCELLED when nobody wants the rest. */
cria_status cria_convert_tick(const struct cria_convert_filler *f, cria_error *err);

#endif
