/* A library that creates threads with a routine of its own, by the next pthread_create, as profilers do. */
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>

struct start {
    void *(*routine)(void *);
    void *arg;
};

static void *begin(void *passed)
{
    struct start start = *(struct start *)passed;
    free(passed);
    return start.routine(start.arg);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*routine)(void *), void *arg)
{
    int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *) =
        dlsym(RTLD_NEXT, "pthread_create");
    struct start *start = malloc(sizeof *start);
    *start = (struct start){routine, arg};
    int result = real(thread, attr, begin, start);
    if (result != 0)
        free(start);
    return result;
}
