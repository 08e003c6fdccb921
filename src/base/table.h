/* A table of entries by number, for numbers such as descriptors: low mostly, but without limit. Its
 * pages are made where a number is in use for the first time.
 *
 * Invariants: entries never move; each begins as zeros; one of 64 bytes is a line of cache. */
#ifndef CR_TABLE_H
#define CR_TABLE_H

#include "base.h"

struct cr_table_page {
    char *first; /* entry; NULL: the page is not there */
    void *block; /* to be freed */
};

struct cr_table {
    struct cr_table_page *pages;
    size_t pages_count;
};

enum { CR_TABLE_PAGE = 4096 }; /* entries */

CR_HIDDEN void cr_table_fini(struct cr_table *table);

/* Makes the page of a number, where it is not there; false when memory ran out. */
CR_HIDDEN bool cr_table_grow(struct cr_table *table, size_t number, size_t entry_size);

/* The entry of a number whose page is there. */
CR_INLINE void *cr_table_at(const struct cr_table *table, size_t number, size_t entry_size)
{
    return table->pages[number / CR_TABLE_PAGE].first + number % CR_TABLE_PAGE * entry_size;
}

/* The same; NULL where the page is not there. */
CR_INLINE void *cr_table_find(const struct cr_table *table, size_t number, size_t entry_size)
{
    size_t page = number / CR_TABLE_PAGE;
    if (CR_UNLIKELY(page >= table->pages_count || !table->pages[page].first))
        return NULL;
    return cr_table_at(table, number, entry_size);
}

/* One more than the highest number that may have an entry. */
CR_INLINE size_t cr_table_end(const struct cr_table *table)
{
    return table->pages_count * CR_TABLE_PAGE;
}

#endif
