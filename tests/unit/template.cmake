# SPDX-License-Identifier: Apache-2.0
cria_unit_test(template LAYERS base template)
