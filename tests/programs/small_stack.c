/* The smallest stack that there may be, and a start routine that uses a good part of it. What the
   library needs before and around it has to fit into the rest. */
#include "common.h"
#include <alloca.h>
#include <errno.h>
#include <unistd.h>

/* Of a stack of at least 16 KiB. The C library's own needs (thread descriptor, thread-local
   variables, signal frame) are in there, too. */
#define USED 7000

static void *thread(void *arg)
{
    volatile char *bytes = alloca(USED);
    for (int i = 0; i < USED; i++)
        bytes[i] = (char)i;
    return in_place() ? arg : NULL;
}

int main(void)
{
    pthread_attr_t attr;
    static char sent;
    int back_as_sent = 0;
    MUST(pthread_attr_init(&attr));
    MUST(pthread_attr_setstacksize(&attr, 16384));
    for (int i = 0; i < 200; i++) {
        pthread_t id;
        void *back;
        MUST(pthread_create(&id, &attr, thread, &sent));
        MUST(pthread_join(id, &back));
        back_as_sent += back == &sent;
    }
    printf("%d threads\n", back_as_sent);
    return 0;
}
