/* A program that forbids itself all system calls but the few that it needs, as virtiofsd does: any other one kills it.

   usage: allow_list HOW [MORE]
   HOW       prctl, seccomp, tsync: how the filter is loaded; libseccomp: by that library (its seccomp_load)
   MORE      affinity: the filter allows to set affinities too

   Before the filter is loaded a thread moves to FROM_CPU. Under the filter it and the main thread create threads. */
#include "common.h"
#include <dlfcn.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static const int needed[] = {
    SYS_brk,        SYS_clone,    SYS_clone3,       SYS_exit,    SYS_exit_group, SYS_fstat,
    SYS_futex,      SYS_getcpu,   SYS_gettid,       SYS_madvise, SYS_mmap,       SYS_mprotect,
    SYS_munmap,     SYS_pause,    SYS_newfstatat,   SYS_rseq,    SYS_write,      SYS_set_robust_list,
    SYS_rt_sigprocmask, SYS_rt_sigreturn,
};
static const int for_affinity[] = {SYS_sched_setaffinity, SYS_sched_getaffinity};

#define STEPS 100
static struct sock_filter steps[STEPS];
static unsigned short count;

static void step(struct sock_filter one) { steps[count++] = one; }

static void allow(const int *calls, size_t number)
{
    for (size_t i = 0; i < number; i++) {
        step((struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, calls[i], 0, 1));
        step((struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
    }
}
#define ALLOW(calls) allow(calls, sizeof(calls) / sizeof *(calls))

/* libseccomp's functions; its headers need not be there. */
#define SCMP_ACT_KILL_PROCESS 0x80000000U
#define SCMP_ACT_ALLOW 0x7fff0000U
static int load_by_libseccomp(int affinity)
{
    void *library = dlopen("libseccomp.so.2", RTLD_NOW | RTLD_GLOBAL);
    if (!library)
        return ENOENT;
    void *(*init)(uint32_t) = (void *(*)(uint32_t))dlsym(library, "seccomp_init");
    int (*add)(void *, uint32_t, int, unsigned) = (int (*)(void *, uint32_t, int, unsigned))dlsym(library, "seccomp_rule_add");
    /* As a program calls it that is linked with the library. */
    int (*load)(void *) = (int (*)(void *))dlsym(RTLD_DEFAULT, "seccomp_load");
    void *context = init(SCMP_ACT_KILL_PROCESS);
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++)
        if (add(context, SCMP_ACT_ALLOW, needed[i], 0) != 0)
            return EINVAL;
    for (size_t i = 0; affinity && i < sizeof for_affinity / sizeof *for_affinity; i++)
        if (add(context, SCMP_ACT_ALLOW, for_affinity[i], 0) != 0)
            return EINVAL;
    return -load(context);
}

static int load(const char *how, const char *more)
{
    if (strcmp(how, "libseccomp") == 0)
        return load_by_libseccomp(strcmp(more, "affinity") == 0);
    step((struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)));
    ALLOW(needed);
    if (strcmp(more, "affinity") == 0)
        ALLOW(for_affinity);
    step((struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS));
    struct sock_fprog program = {count, steps};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return errno;
    if (strcmp(how, "prctl") == 0)
        return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) ? errno : 0;
    int flags = strcmp(how, "tsync") == 0 ? SECCOMP_FILTER_FLAG_TSYNC : 0;
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program) ? errno : 0;
}

static atomic_int placed;

static void *child(void *arg)
{
    placed += in_place();
    return arg;
}

static void create_three(const char *who)
{
    placed = 0;
    for (int i = 0; i < 3; i++) {
        pthread_t id;
        MUST(pthread_create(&id, NULL, child, NULL));
        MUST(pthread_join(id, NULL));
    }
    printf("%s: %d of 3 in place\n", who, placed);
    fflush(stdout);
}

static pthread_barrier_t barrier;
static const char *how, *more;

/* It stands on another CPU than its own. Without TSYNC it loads a filter for itself, as every thread has one of its own. */
static void *elsewhere(void *arg)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(atoi(getenv("FROM_CPU")), &set);
    if (syscall(SYS_sched_setaffinity, 0, sizeof set, &set) != 0)
        exit(97);
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    create_three("a thread without a filter, unless it is everybody's");
    pthread_barrier_wait(&barrier);
    if (strcmp(how, "tsync") != 0) {
        count = 0;
        MUST(load(how, more));
    }
    create_three("a thread with a filter");
    pthread_barrier_wait(&barrier);
    return arg;
}

int main(int argc, char **argv)
{
    pthread_t id;
    how = argc > 1 ? argv[1] : "prctl";
    more = argc > 2 ? argv[2] : "";
    MUST(pthread_barrier_init(&barrier, NULL, 2));
    MUST(pthread_create(&id, NULL, elsewhere, NULL));
    pthread_barrier_wait(&barrier);
    MUST(load(how, more));
    for (int i = 0; i < 3; i++)
        pthread_barrier_wait(&barrier);
    create_three("the main thread, with a filter");
    MUST(pthread_join(id, NULL));
    puts("done");
    fflush(stdout);
    return 0;
}
