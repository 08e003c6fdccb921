/* Twenty thousand fibers that wait for one thing; a million of them are in long_crowd_waits.c. */
#define CROWD_MOST 20000
#include "crowd_waits.h"
