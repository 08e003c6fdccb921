/* Pages of zeros. Large blocks of zeros mostly come from the system, and cost memory only where
 * they are used; so a page is taken as it is, with room to begin at the next line of cache. */
#include "table.h"

#include <stdlib.h>
#include <string.h>

enum { CACHE_LINE = 64 };

static bool table_page_make(struct cr_table_page *page, size_t size)
{
    char *block = calloc(1, size + CACHE_LINE);
    if (!block)
        return false;
    page->block = block;
    page->first = block + CACHE_LINE - (uintptr_t)block % CACHE_LINE;
    return true;
}

bool cr_table_grow(struct cr_table *table, size_t number, size_t entry_size)
{
    size_t page = number / CR_TABLE_PAGE;
    if (page >= table->pages_count) {
        size_t count = page + 1 > 2 * table->pages_count ? page + 1 : 2 * table->pages_count;
        struct cr_table_page *pages = realloc(table->pages, count * sizeof *pages);
        if (!pages)
            return false;
        memset(pages + table->pages_count, 0, (count - table->pages_count) * sizeof *pages);
        table->pages = pages;
        table->pages_count = count;
    }
    return table->pages[page].first ||
           table_page_make(&table->pages[page], CR_TABLE_PAGE * entry_size);
}

void cr_table_fini(struct cr_table *table)
{
    for (size_t i = 0; i < table->pages_count; i++)
        free(table->pages[i].block);
    free(table->pages);
}
