/* A million fibers that wait for one thing, in an optimized build with more than 8 GB of memory
 * free; in others fewer. */
#define CROWD_MOST 1000000
#include "crowd_waits.h"
