/* SPDX-License-Identifier: Apache-2.0 */
/* strftime_now: the time that the caller passed, in the proleptic Gregorian calendar and in English, as Python writes
 * it in the C locale. */
#include "template/value.h"

#include <stdio.h>
#include <string.h>

struct date {
    int64_t year;
    int month, day, weekday, yearday; /* January and Sunday are 0, the first of January is 0 */
    int hour, minute, second;
};

static const char *const months[] = {"January", "February", "March",     "April",   "May",      "June",
                                     "July",    "August",   "September", "October", "November", "December"};
static const char *const days[] = {"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"};

static bool is_leap(int64_t year) { return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0; }

static struct date date_of(int64_t seconds) {
    int64_t day = seconds / 86400, rest = seconds % 86400;
    if (rest < 0) {
        rest += 86400;
        day--;
    }
    struct date d = {.hour = (int)(rest / 3600), .minute = (int)(rest / 60 % 60), .second = (int)(rest % 60)};
    d.weekday = (int)((day % 7 + 11) % 7); /* the first of January 1970 was a Thursday */
    /* From the first of March of year 0, in eras of 400 years: civil_from_days by Howard Hinnant. */
    day += 719468;
    const int64_t era = (day >= 0 ? day : day - 146096) / 146097, of_era = day - era * 146097;
    const int64_t year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    const int64_t of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    const int64_t march = (5 * of_year + 2) / 153;
    d.day = (int)(of_year - (153 * march + 2) / 5 + 1);
    d.month = (int)(march < 10 ? march + 2 : march - 10);
    d.year = year_of_era + era * 400 + (d.month < 2);
    d.yearday = (int)(d.month < 2 ? of_year - 306 : of_year + 59 + is_leap(d.year));
    return d;
}

/* A number of width digits: with "-" without what fills it, with "_" filled by spaces. */
static int number(char *out, size_t size, int64_t value, int width, char flag, char fill) {
    if (flag == '-') return snprintf(out, size, "%lld", (long long)value);
    if (flag == '_' || (flag != '0' && fill == ' ')) return snprintf(out, size, "%*lld", width, (long long)value);
    return snprintf(out, size, "%0*lld", width, (long long)value);
}

/* One directive into out; < 0 where there is none of that letter. */
static int directive(const struct date *d, char letter, char flag, char *out, size_t size) {
    const int hour12 = d->hour % 12 ? d->hour % 12 : 12;
    switch (letter) {
    case '%': return snprintf(out, size, "%%");
    case 'Y': return number(out, size, d->year, 1, flag, '0');
    case 'y': return number(out, size, d->year % 100, 2, flag, '0');
    case 'C': return number(out, size, d->year / 100, 2, flag, '0');
    case 'm': return number(out, size, d->month + 1, 2, flag, '0');
    case 'd': return number(out, size, d->day, 2, flag, '0');
    case 'e': return number(out, size, d->day, 2, flag, ' ');
    case 'j': return number(out, size, d->yearday + 1, 3, flag, '0');
    case 'H': return number(out, size, d->hour, 2, flag, '0');
    case 'I': return number(out, size, hour12, 2, flag, '0');
    case 'M': return number(out, size, d->minute, 2, flag, '0');
    case 'S': return number(out, size, d->second, 2, flag, '0');
    case 'f': return snprintf(out, size, "000000");
    case 'w': return snprintf(out, size, "%d", d->weekday);
    case 'u': return snprintf(out, size, "%d", d->weekday ? d->weekday : 7);
    case 'U': return number(out, size, (d->yearday + 7 - d->weekday) / 7, 2, flag, '0');
    case 'W': return number(out, size, (d->yearday + 7 - (d->weekday + 6) % 7) / 7, 2, flag, '0');
    case 'B': return snprintf(out, size, "%s", months[d->month]);
    case 'b':
    case 'h': return snprintf(out, size, "%.3s", months[d->month]);
    case 'A': return snprintf(out, size, "%s", days[d->weekday]);
    case 'a': return snprintf(out, size, "%.3s", days[d->weekday]);
    case 'p': return snprintf(out, size, "%s", d->hour < 12 ? "AM" : "PM");
    case 'n': return snprintf(out, size, "\n");
    case 't': return snprintf(out, size, "\t");
    case 'z': /* the time has no zone */
    case 'Z': return snprintf(out, size, "%s", "");
    case 'D':
    case 'x': return snprintf(out, size, "%02d/%02d/%02d", d->month + 1, d->day, (int)(d->year % 100));
    case 'F': return snprintf(out, size, "%lld-%02d-%02d", (long long)d->year, d->month + 1, d->day);
    case 'T':
    case 'X': return snprintf(out, size, "%02d:%02d:%02d", d->hour, d->minute, d->second);
    case 'R': return snprintf(out, size, "%02d:%02d", d->hour, d->minute);
    case 'c':
        return snprintf(out, size, "%.3s %.3s %2d %02d:%02d:%02d %lld", days[d->weekday], months[d->month], d->day,
                        d->hour, d->minute, d->second, (long long)d->year);
    default: return -1;
    }
}

bool cria_jinja_strftime(jinja_state *s, const jinja_text *format, jinja_value *out) {
    const int64_t limit = 253402300799; /* the end of year 9999, where Python's ends */
    int64_t seconds;
    if (__builtin_add_overflow(s->now->seconds, s->now->offset, &seconds) || seconds < 0 || seconds > limit)
        return cria_jinja_fail(s, CRIA_EINVAL, "strftime_now: the time is not between 1970 and 9999");
    const struct date d = date_of(seconds);
    cria_buf b;
    cria_jinja_scratch(s, &b);
    bool ok = true;
    for (size_t i = 0; ok && i < format->len; i++) {
        if (format->data[i] != '%') {
            ok = cria_jinja_write(s, &b, &format->data[i], 1);
            continue;
        }
        char flag = '\0', text[64];
        if (i + 1 < format->len && strchr("-_0", format->data[i + 1]) && format->data[i + 1])
            flag = format->data[++i];
        const char letter = i + 1 < format->len ? format->data[++i] : '\0';
        const int n = directive(&d, letter, flag, text, sizeof text);
        ok = n >= 0 ? cria_jinja_write(s, &b, text, (size_t)n)
                    : cria_jinja_fail(s, CRIA_EUNSUPPORTED, "strftime_now does not know %%%c", letter ? letter : ' ');
    }
    return cria_jinja_take(s, &b, ok, out);
}
