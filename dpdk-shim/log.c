#define _GNU_SOURCE
#include <stdio.h>

#include "wrapper.h"

static ssize_t write_to_sink(void *cookie, const char *text, size_t length)
{
	((shim_log_sink)cookie)(text, length);
	return (ssize_t)length;
}

/* Hands every line that EAL and the drivers log to `sink`, for the life of the process. */
int shim_log_to(shim_log_sink sink)
{
	cookie_io_functions_t calls = { .write = write_to_sink };
	FILE *stream = fopencookie((void *)sink, "w", calls);

	if (stream == NULL)
		return -1;
	setvbuf(stream, NULL, _IOLBF, BUFSIZ);
	return rte_openlog_stream(stream);
}
