/* The table of entries by number, against what its header says: entries that begin as zeros, stay
 * where they are, touch no other, and lie in lines of cache of their own. */
#include "test.h"

#include "../src/base/table.h"

#include <stdlib.h>
#include <string.h>

enum { LINE = 64, COUNT = 200 };

static size_t number_of(int i)
{
    static const size_t EDGES[] = {0, CR_TABLE_PAGE - 1, CR_TABLE_PAGE, 9 * CR_TABLE_PAGE - 1};
    return i < 4 ? EDGES[i] : (size_t)i * 7919;
}

static char *entry_of(struct cr_table *table, int i, size_t size)
{
    CHECK(cr_table_grow(table, number_of(i), size));
    return cr_table_at(table, number_of(i), size);
}

static void check_table(size_t size)
{
    struct cr_table table = {0};
    char *entries[COUNT], zeros[LINE] = {0};
    CHECK(cr_table_end(&table) == 0 && !cr_table_find(&table, 0, size));
    for (int i = 0; i < COUNT; i++) {
        entries[i] = entry_of(&table, i, size);
        CHECK(memcmp(entries[i], zeros, size) == 0);
        CHECK(size != LINE || (uintptr_t)entries[i] % LINE == 0);
        memset(entries[i], i + 1, size);
    }
    for (int i = 0; i < COUNT; i++) {
        char expected[LINE];
        memset(expected, i + 1, size);
        CHECK(entry_of(&table, i, size) == entries[i]);
        CHECK(cr_table_find(&table, number_of(i), size) == entries[i]);
        CHECK(memcmp(entries[i], expected, size) == 0);
    }
    CHECK(cr_table_end(&table) > number_of(COUNT - 1));
    CHECK(!cr_table_find(&table, cr_table_end(&table), size));
    CHECK(!cr_table_find(&table, SIZE_MAX, size));
    cr_table_fini(&table);
}

TEST(test_table_entries_begin_as_zeros_and_stay_where_they_are)
{
    check_table(LINE);
    check_table(32);
    check_table(1);
}

/* A page that nobody needs is not made. */
TEST(test_table_has_pages_for_what_is_in_use_only)
{
    struct cr_table table = {0};
    size_t far = 1000 * (size_t)CR_TABLE_PAGE;
    CHECK(cr_table_grow(&table, far, LINE) && cr_table_find(&table, far, LINE));
    CHECK(!cr_table_find(&table, far - 1, LINE) && !cr_table_find(&table, 0, LINE));
    cr_table_fini(&table);
}
