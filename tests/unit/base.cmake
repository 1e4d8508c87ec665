# SPDX-License-Identifier: Apache-2.0
foreach(name buf cpu ctx dtype half hash json jsonread machine mapfile mem outfile outfolder pool reader status topology
        utf8)
    cria_unit_test(${name} LAYERS base)
endforeach()
