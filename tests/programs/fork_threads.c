/* A program with threads that forks while these make further threads: each child makes threads of
   its own, and all of them end. */
#include "common.h"
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHILDREN 200

static atomic_int stop;

static void *leaf(void *arg) { return arg; }

static void *makes_threads(void *arg)
{
    while (!atomic_load(&stop)) {
        pthread_t id;
        MUST(pthread_create(&id, NULL, leaf, NULL));
        MUST(pthread_join(id, NULL));
    }
    return arg;
}

static void *in_child(void *arg)
{
    return in_place() ? arg : NULL;
}

static int child(void)
{
    pthread_t id;
    void *back;
    if (pthread_create(&id, NULL, in_child, &stop) != 0 || pthread_join(id, &back) != 0)
        return 1;
    return back == &stop ? 0 : 2;
}

int main(void)
{
    pthread_t ids[4];
    int good = 0;
    for (int i = 0; i < 4; i++)
        MUST(pthread_create(&ids[i], NULL, makes_threads, NULL));
    for (int i = 0; i < CHILDREN; i++) {
        pid_t pid = fork();
        if (pid == 0)
            _exit(child());
        int status;
        if (pid < 0 || waitpid(pid, &status, 0) != pid)
            return 99;
        good += WIFEXITED(status) && WEXITSTATUS(status) == 0;
    }
    atomic_store(&stop, 1);
    for (int i = 0; i < 4; i++)
        MUST(pthread_join(ids[i], NULL));
    printf("%d of %d children did well\n", good, CHILDREN);
    return 0;
}
