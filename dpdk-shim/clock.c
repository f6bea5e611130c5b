#include "wrapper.h"

uint64_t shim_tsc(void)
{
	return rte_rdtsc();
}

void shim_pause(void)
{
	rte_pause();
}
