/* Pages of zeros. The system's own are taken as they are, so that what is never used costs no
 * memory; for that a page is more than what it holds, and begins at the next line of cache. */
#include "table.h"

#include <stdlib.h>
#include <string.h>

enum { CACHE_LINE = 64 };

/* What is to be freed lies right before the page. */
static char *table_page_make(size_t size)
{
    char *block = calloc(1, size + CACHE_LINE);
    if (!block)
        return NULL;
    char *page = block + CACHE_LINE - (uintptr_t)block % CACHE_LINE;
    memcpy(page - sizeof block, &block, sizeof block);
    return page;
}

static void table_page_free(char *page)
{
    char *block = NULL;
    if (page)
        memcpy(&block, page - sizeof block, sizeof block);
    free(block);
}

bool cr_table_grow(struct cr_table *table, size_t number, size_t entry_size)
{
    size_t page = number / CR_TABLE_PAGE;
    if (page >= table->pages_count) {
        size_t count = page + 1 > 2 * table->pages_count ? page + 1 : 2 * table->pages_count;
        char **pages = realloc(table->pages, count * sizeof *pages);
        if (!pages)
            return false;
        memset(pages + table->pages_count, 0, (count - table->pages_count) * sizeof *pages);
        table->pages = pages;
        table->pages_count = count;
    }
    if (!table->pages[page])
        table->pages[page] = table_page_make(CR_TABLE_PAGE * entry_size);
    return table->pages[page];
}

void cr_table_fini(struct cr_table *table)
{
    for (size_t i = 0; i < table->pages_count; i++)
        table_page_free(table->pages[i]);
    free(table->pages);
}
