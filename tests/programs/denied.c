/* A process under an outer filter that denies a system call to all that comes after it, the process outside the sandbox
   included. Afterwards threads are created from a thread that stands on FROM_CPU.

   usage: denied NUMBER ERRNO [ARGUMENT VALUE]; one that has this value as its argument of this number (from 0) */
#include "with_broker.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>

static atomic_int placed;

static void *child(void *arg)
{
    placed += in_place();
    return arg;
}

static pthread_barrier_t loaded;

static void *parent(void *arg)
{
    MUST(move_to(0, atoi(getenv("FROM_CPU"))));
    pthread_barrier_wait(&loaded);
    pthread_barrier_wait(&loaded);
    for (int i = 0; i < 3; i++) {
        pthread_t id;
        MUST(pthread_create(&id, NULL, child, NULL));
        MUST(pthread_join(id, NULL));
    }
    return arg;
}

int main(int argc, char **argv)
{
    pthread_t id;
    unsigned number = argc > 2 ? atoi(argv[1]) : 0, denial = SECCOMP_RET_ERRNO | (argc > 2 ? atoi(argv[2]) : 0);
    unsigned argument = argc > 4 ? atoi(argv[3]) : 0, value = argc > 4 ? strtoul(argv[4], NULL, 0) : 0;
    MUST(pthread_barrier_init(&loaded, NULL, 2));
    MUST(pthread_create(&id, NULL, parent, NULL));
    pthread_barrier_wait(&loaded);
    struct sock_filter steps[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args) + 8 * argument),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, argc > 4 ? 1 : 0),
        BPF_STMT(BPF_RET | BPF_K, denial),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof steps / sizeof *steps, steps};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0)
        return 96;
    MUST(-seccomp_load(NULL));
    pthread_barrier_wait(&loaded);
    MUST(pthread_join(id, NULL));
    printf("%d of 3 in place\n", placed);
    fflush(stdout);
    pause();
    return 0;
}
