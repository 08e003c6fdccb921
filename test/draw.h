/* What the tests share that run drawn programs under every choice of who is next: numbers, and the
 * search through the choices of a schedule. */
#ifndef TEST_DRAW_H
#define TEST_DRAW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* splitmix64 */
static inline uint32_t draw(uint64_t *state, uint32_t below)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (uint32_t)((z ^ z >> 31) >> 33) % below;
}

/* The choices of the next schedule in depth-first order, after one that made the first `count` of
 * `size` choices, in `ways` ways each; false: that was the last. */
static inline bool draw_next(uint8_t *choice, const uint8_t *ways, size_t count, size_t size)
{
    while (count > 0 && choice[count - 1] + 1 >= ways[count - 1])
        count--;
    memset(choice + count, 0, size - count);
    if (count == 0)
        return false;
    choice[count - 1]++;
    return true;
}

#endif
