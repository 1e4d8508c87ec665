# SPDX-License-Identifier: Apache-2.0
# Prints C files as "file:line:code" without comments and without what is inside string and character literals.
FNR == 1 { in_comment = 0 }
{
    out = ""
    for (i = 1; i <= length($0); i++) {
        c = substr($0, i, 1)
        two = substr($0, i, 2)
        if (in_comment) {
            if (two == "*/") { in_comment = 0; i++; out = out " " }
        } else if (two == "/*") {
            in_comment = 1; i++
        } else if (two == "//") {
            break
        } else if (c == "\"" || c == "'") {
            for (i++; i <= length($0) && substr($0, i, 1) != c; i++)
                if (substr($0, i, 1) == "\\") i++
            out = out c c
        } else {
            out = out c
        }
    }
    print FILENAME ":" FNR ":" out
}
