/* The threads of C11, which do not go through pthread_create. */
#include "common.h"
#include <errno.h>
#include <threads.h>

static int returns(void *arg)
{
    here("thrd_create");
    printf("errno %d\n", errno);
    return *(int *)arg + 1;
}

static int leaves(void *arg)
{
    (void)arg;
    here("thrd_create");
    thrd_exit(-5);
}

static thrd_t handle;
static int checks_handle(void *arg)
{
    (void)arg;
    return thrd_equal(handle, thrd_current());
}

int main(void)
{
    int argument = 41;
    for (int i = 0; i < 200; i++) {
        thrd_t id;
        int back;
        errno = 4321;
        int result = thrd_create(&id, returns, &argument);
        int error = errno;
        if (thrd_join(id, &back) != thrd_success)
            return 99;
        printf("%d, errno %d, %d\n", result == thrd_success, error, back);
        if (thrd_create(&id, leaves, NULL) != thrd_success || thrd_join(id, &back) != thrd_success)
            return 99;
        printf("%d\n", back);
        if (thrd_create(&handle, checks_handle, NULL) != thrd_success || thrd_join(handle, &back) != thrd_success)
            return 99;
        printf("%d\n", back);
    }
    return 0;
}
