/* Creations that the C library refuses: the error number comes back as the result, the start routine
   never runs, and errno and the thread's handle are what they are without the library. */
#include "common.h"
#include <errno.h>

static void *never(void *arg)
{
    puts("it runs");
    return arg;
}

static void refused(const char *why, const pthread_attr_t *attr)
{
    pthread_t id;
    memset(&id, 0x5a, sizeof id);
    pthread_t before = id;
    errno = 4321;
    int result = pthread_create(&id, attr, never, NULL);
    int error = errno;
    /* glibc writes the handle before it knows; what counts is that both runs do the same. */
    printf("%s: result %d, errno %d, handle kept %d\n", why, result, error, memcmp(&id, &before, sizeof id) == 0);
}

int main(int argc, char **argv)
{
    (void)argv;
    pthread_attr_t attr;
    if (argc > 1) {
        refused("no more threads for this user", NULL);
        return 0;
    }
    MUST(pthread_attr_init(&attr));
    MUST(pthread_attr_setstacksize(&attr, (size_t)1 << 46));
    for (int i = 0; i < 10; i++)
        refused("stack too large", &attr);
    MUST(pthread_attr_destroy(&attr));

    cpu_set_t none;
    CPU_ZERO(&none);
    MUST(pthread_attr_init(&attr));
    MUST(pthread_attr_setaffinity_np(&attr, sizeof none, &none));
    for (int i = 0; i < 10; i++)
        refused("no CPU", &attr);
    return 0;
}
