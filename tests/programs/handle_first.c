/* The handle is written before the new thread runs: it may rely on that. */
#include "common.h"
#include <stdatomic.h>

static pthread_t handle;
static atomic_int late;

static void *thread(void *arg)
{
    if (!pthread_equal(handle, pthread_self()))
        atomic_fetch_add(&late, 1);
    return arg;
}

int main(void)
{
    for (int i = 0; i < 20000; i++) {
        memset(&handle, 0, sizeof handle);
        MUST(pthread_create(&handle, NULL, thread, NULL));
        MUST(pthread_join(handle, NULL));
    }
    printf("late: %d\n", atomic_load(&late));
    return 0;
}
