/* A thread of a sandboxed process ends, and its id is given to another process, at the one moment that matters: after the
   process outside the sandbox has looked whose thread that is, and before it moves the thread. An outer filter that asks
   a supervisor (seccomp_unotify(2)) about each sched_setaffinity finds that moment.

   The thread may run on both CPUs, and is to be put on EXPECT_CPU. The other process stands on FROM_CPU, as its maker
   does. The program is started as root, and its threads become those of the user nobody. */
#include "with_broker.h"
#include "with_id.h"
#include <semaphore.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

static int from_cpu, listener = -1;
static atomic_int thread_id;
static sem_t end_thread, listening;
static pthread_t thread;

/* The process that makes the other one: still root. */
static int to_maker[2], from_maker[2];

static void maker(void)
{
    int tid;
    /* It ends with the other side: the signal of a parent of another user would not reach it. */
    close(to_maker[1]);
    while (read(to_maker[0], &tid, sizeof tid) == sizeof tid) {
        int made = process_with_id(tid);
        if (write(from_maker[1], &made, sizeof made) != sizeof made)
            break;
    }
    _exit(0);
}

static void *waits(void *arg)
{
    unsigned long mask = 1ul << from_cpu | 1ul << expected_cpu_;
    if (syscall(SYS_sched_setaffinity, 0, sizeof mask, &mask) != 0)
        exit(98);
    thread_id = syscall(SYS_gettid);
    sem_wait(&end_thread);
    return arg;
}

static void *supervisor(void *arg)
{
    struct seccomp_notif request;
    sem_wait(&listening);
    for (;;) {
        memset(&request, 0, sizeof request);
        if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &request) != 0)
            continue;
        if ((int)request.data.args[0] == thread_id && thread_id != 0) {
            int tid = thread_id, made = 0;
            thread_id = 0;
            sem_post(&end_thread);
            MUST(pthread_join(thread, NULL));
            if (write(to_maker[1], &tid, sizeof tid) != sizeof tid || read(from_maker[0], &made, sizeof made) != sizeof made)
                exit(97);
            if (made != tid) {
                printf("no such process: %s\n", strerror(-made));
                exit(0);
            }
        }
        struct seccomp_notif_resp answer = {.id = request.id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
        ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
    }
    return arg;
}

int main(void)
{
    pthread_t id;
    from_cpu = atoi(getenv("FROM_CPU"));
    MUST(move_to(0, from_cpu));
    if (pipe(to_maker) != 0 || pipe(from_maker) != 0)
        return 96;
    if (fork() == 0)
        maker();
    /* glibc changes all threads. */
    if (setresgid(65534, 65534, 65534) != 0 || setresuid(65534, 65534, 65534) != 0)
        return 95;
    prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    MUST(sem_init(&end_thread, 0, 0));
    MUST(sem_init(&listening, 0, 0));
    MUST(pthread_create(&thread, NULL, waits, NULL));
    MUST(pthread_create(&id, NULL, supervisor, NULL));
    while (thread_id == 0)
        usleep(1000);
    int tid = thread_id;
    listener = filter_call(SYS_sched_setaffinity, SECCOMP_RET_USER_NOTIF, SECCOMP_FILTER_FLAG_NEW_LISTENER);
    if (listener < 0) {
        printf("no listener: %s\n", strerror(errno));
        return 0;
    }
    sem_post(&listening);
    MUST(-seccomp_load(NULL));
    find_socket();
    find_memory();
    int answer = ask_for(PIN, 0, tid, NULL, 5000);
    printf("%s, the other process is %s\n", answer == 2 ? "served" : "not served",
           mask_of(tid) == 1ul << from_cpu ? "where it was" : "moved");
    fflush(stdout);
    pause();
    return 0;
}
