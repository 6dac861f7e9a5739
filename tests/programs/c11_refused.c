/* A C11 thread that cannot be created, since the test has set RLIMIT_NPROC. */
#include "common.h"
#include <errno.h>
#include <threads.h>

static int never(void *arg)
{
    (void)arg;
    puts("it runs");
    return 0;
}

int main(void)
{
    thrd_t id;
    errno = 4321;
    int result = thrd_create(&id, never, NULL);
    printf("success %d, nomem %d, error %d, errno %d\n", result == thrd_success, result == thrd_nomem,
           result == thrd_error, errno);
    return 0;
}
