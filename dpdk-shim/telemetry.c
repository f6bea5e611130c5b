#include <rte_version.h>

#include "wrapper.h"

/* Adds a number to a reply that is a dictionary. Its DPDK name changed in 23.03. */
int shim_telemetry_add_number(struct rte_tel_data *reply, const char *name, uint64_t number)
{
#if RTE_VERSION >= RTE_VERSION_NUM(23, 3, 0, 0)
	return rte_tel_data_add_dict_uint(reply, name, number);
#else
	return rte_tel_data_add_dict_u64(reply, name, number);
#endif
}
