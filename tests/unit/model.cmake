# SPDX-License-Identifier: Apache-2.0
cria_unit_test(pack LAYERS base kernels)
cria_unit_test(sampler LAYERS base sample)
cria_unit_test(dmath LAYERS base)
cria_unit_test(kv LAYERS base kernels format model)
cria_unit_test(limits LAYERS base kernels format text sample model engine)
cria_unit_test(random LAYERS base kernels format text sample model engine)
cria_unit_test(engine LAYERS base kernels format text sample model engine)
cria_unit_test(cache LAYERS base kernels format text sample model engine)
