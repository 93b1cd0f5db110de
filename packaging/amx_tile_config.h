/* GCC 12's _tile_loadconfig tells the compiler that it reads 8 bytes; the tile configuration has 64. The stores of the
   other 56 are then removed as dead and ldtilecfg faults on the first matrix product. This states the whole operand. */
#if defined(__AMX_TILE__)
#include <immintrin.h>
#define _tile_loadconfig(config) __asm__ volatile("ldtilecfg %0" ::"m"(*(const char(*)[64])(config)))
#endif
