/* Plays an attacker who has taken over QEMU inside its sandbox, and who attacks the broker outside of it with
   everything that the library has in QEMU: the socket, the shared answers, the status page.

   usage: attack KIND. VICTIM is the pid of a process of somebody else. After the attack,
   threads are created from a thread that stands on FROM_CPU, and it says how many of them were in
   place. The layouts are those of src/inside/broker/message.rs and src/pinning/status_page/layout.rs. */
#include "with_broker.h"
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>

static pid_t broker, victim;
static int from_cpu, violations;

#define EXPECT(true_)                                                \
    do {                                                             \
        if (!(true_)) {                                              \
            printf("line %d: not so: %s\n", __LINE__, #true_);       \
            violations++;                                            \
        }                                                            \
    } while (0)

/* Threads created by a thread that is off the set, and stays there. */

static atomic_int wanted, born, placed;

static void *child(void *arg)
{
    if (in_place())
        placed++;
    born++;
    return arg;
}

static void leave_the_set(void)
{
    if (move_to(0, from_cpu) != 0)
        exit(98);
}

static void *parent(void *arg)
{
    leave_the_set();
    for (;;) {
        while (born >= wanted)
            usleep(1000);
        pthread_t id;
        MUST(pthread_create(&id, NULL, child, NULL));
        MUST(pthread_join(id, NULL));
    }
    return arg;
}

static int births(int count)
{
    born = placed = 0;
    wanted = count;
    while (born < count)
        usleep(1000);
    wanted = 0;
    return placed;
}

/* Asking. */

static void post(int kind, int set, int tid)
{
    EXPECT(tell(kind, set, tid) == 0);
}

static int ask(int set, int tid)
{
    return ask_for(PIN, set, tid, NULL, 1000);
}

#define REFUSED(answer, why) ((answer) == (0x80 | (why)))

/* Everything asked before this has been dealt with. */
static void caught_up(void)
{
    int answer = ask(0, getpid());
    for (int i = 0; i < 50 && answer == PENDING; i++)
        answer = ask(0, getpid());
    EXPECT(answer == 2);
}

static uint64_t random_word(void)
{
    static uint64_t state = 88172645463325252u;
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
}

static void fill(void *to, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        ((unsigned char *)to)[i] = random_word() >> 32;
}

/* The attacks. */

static void threads_of_others(void)
{
    int others[] = {victim, broker, getppid(), 1, 2, 0, -1, INT_MIN, INT_MAX, -victim};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        int answer = ask(0, others[i]);
        EXPECT(answer & 0x80);
        post(PIN, 0, others[i]);
    }
    EXPECT(REFUSED(ask(0, victim), ESRCH));
    EXPECT(REFUSED(ask(0, broker), ESRCH));
}

static void sets_outside_the_policy(void)
{
    int refused = 0;
    for (int set = 0; set <= UINT16_MAX; set += set < 600 ? 1 : 977) {
        int answer = ask(set, getpid());
        refused += REFUSED(answer, EINVAL);
        EXPECT(answer == 2 || REFUSED(answer, EINVAL));
        unsigned long mask = 0, expected = 1ul << expected_cpu_, before = 1ul << from_cpu;
        EXPECT(syscall(SYS_sched_getaffinity, 0, sizeof mask, &mask) > 0);
        EXPECT(mask == expected || mask == before);
    }
    EXPECT(refused > 600);
    caught_up();
}

static void garbage(void)
{
    for (int i = 0; i < 20000; i++) {
        struct message message;
        fill(&message, sizeof message);
        if (i % 2)
            message.magic = MAGIC;
        if (i % 4 == 3)
            message.kind = random_word() % 8;
        if (i % 8 == 7)
            message.tid = victim;
        throw_bytes(&message, sizeof message);
        if (i % 50 == 0)
            caught_up();
    }
    caught_up();
}

static void other_lengths(void)
{
    unsigned char bytes[70000];
    /* What begins like a good message, and would be answered if it were one. */
    struct message message = {MAGIC, PIN, 0, getpid(), SLOT + 1, 0x700};
    fill(bytes, sizeof bytes);
    memcpy(bytes, &message, sizeof message);
    answers[SLOT + 1] = message.generation | PENDING;
    for (size_t length = 0; length < sizeof bytes; length += length < 100 ? 1 : 3333) {
        if (length != sizeof message)
            throw_bytes(bytes, length);
        if (length % 20 == 0)
            caught_up();
    }
    caught_up();
    EXPECT(answers[SLOT + 1] == (message.generation | PENDING));
}

static void *flooder(void *arg)
{
    struct message message = {MAGIC, PIN, 0, victim, SLOT + 1, 0};
    for (int i = 0; i < 100000; i++) {
        message.kind = 1 + i % 3;
        throw_bytes(&message, sizeof message);
    }
    return arg;
}

static void flood(void)
{
    pthread_t id[3];
    for (int i = 0; i < 3; i++)
        MUST(pthread_create(&id[i], NULL, flooder, NULL));
    for (int i = 0; i < 3; i++)
        MUST(pthread_join(id[i], NULL));
    caught_up();
}

static void descriptors(void)
{
    int memory = open("/proc/self/mem", O_RDWR);
    for (int count = 1; count <= 100; count += 33) {
        int fds[100];
        struct message message = {MAGIC, PIN, 0, getpid(), NOWHERE, 0};
        struct iovec part = {&message, sizeof message};
        char control[CMSG_SPACE(sizeof fds)] = {0};
        struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control};
        header.msg_controllen = CMSG_SPACE(count * sizeof *fds);
        struct cmsghdr *c = CMSG_FIRSTHDR(&header);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(count * sizeof *fds);
        for (int i = 0; i < count; i++)
            fds[i] = i % 2 ? memory : sock;
        memcpy(CMSG_DATA(c), fds, count * sizeof *fds);
        for (int i = 0; i < 20; i++)
            /* The kernel lets a user have only so many in flight, where the broker is not as fast as we are. */
            EXPECT(sendmsg(sock, &header, MSG_NOSIGNAL) == sizeof message || errno == ETOOMANYREFS);
        caught_up();
    }
}

/* Another process of ours, which holds the socket too, and stands where it should not be moved from. */
static pid_t holder_of_the_socket(void)
{
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
            pause();
    }
    EXPECT(child > 0 && mask_of(child) == 1ul << from_cpu);
    return child;
}

static void forged_credentials(void)
{
    pid_t holder = holder_of_the_socket();
    struct ucred claims[] = {
        {victim, getuid(), getgid()}, {victim, 65534, 65534}, {1, 0, 0}, {victim, 0, 0}, {broker, 0, 0},
        {holder, getuid(), getgid()}, {holder, 0, 0},
    };
    for (size_t i = 0; i < sizeof claims / sizeof *claims; i++) {
        /* An ordinary user's forgery the kernel refuses itself. */
        int answer = ask_for(PIN, 0, claims[i].pid, &claims[i], 100);
        EXPECT(answer == -EPERM || answer == PENDING);
        EXPECT((answer == -EPERM) == (getuid() != 0));
    }
    caught_up();
    EXPECT(mask_of(holder) == 1ul << from_cpu);
    kill(holder, SIGKILL);
    waitpid(holder, NULL, 0);
}

static void a_child(void)
{
    pid_t child = fork();
    if (child == 0) {
        for (int i = 0; i < 20; i++) {
            post(TAKE_OVER, 0, 0);
            post(PIN, 0, victim);
            post(PIN, 0, getpid());
            post(LOOK, 0, 0);
            post(WATCH, 0, 0);
        }
        int refused = ask(0, getpid()) != 2 && ask(0, victim) != 2;
        _exit(refused && mask_of(0) == 1ul << from_cpu ? 0 : 1);
    }
    int status = 0;
    EXPECT(waitpid(child, &status, 0) == child && status == 0);
    caught_up();
}

/* A process may set the limits of another of its user, from inside the sandbox too. */
static void limits(void)
{
    struct rlimit none = {0, 0};
    EXPECT(prlimit(broker, RLIMIT_NOFILE, &none, NULL) == 0);
    post(PIN, 0, getpid());
    usleep(200000);
}

static void answers_written_over(void)
{
    struct timespec end, now;
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec++;
    do {
        for (size_t i = 0; i < answer_words; i++)
            answers[i] = random_word();
        struct message message = {MAGIC, PIN, 0, victim, random_word() % SLOTS, random_word()};
        throw_bytes(&message, sizeof message);
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while (now.tv_sec < end.tv_sec);
    for (size_t i = 0; i < answer_words; i++)
        answers[i] = UINT32_MAX;
    caught_up();
}

/* Offsets of status_page::Header and status_page::Entry, the same in layouts 1 and 2. */
#define ENTRIES_AT 44
#define BROKER_AT 56
#define ENTRIES_USED_AT 72
#define ENTRY_BYTES 128

static void *named(void *name)
{
    prctl(PR_SET_NAME, name, 0, 0, 0);
    pause();
    return NULL;
}

static void look_and_watch(void)
{
    for (int i = 0; i < 5; i++) {
        post(LOOK, 0, 0);
        post(WATCH, 0, 0);
        usleep(130000);
    }
    caught_up();
}

static void page_written_over(void)
{
    static char names[4][16];
    uint32_t entries_at;
    memcpy(&entries_at, page + ENTRIES_AT, sizeof entries_at);
    snprintf(names[0], 16, "iou-wrk-%d", victim);
    snprintf(names[1], 16, "vhost-%d", victim);
    snprintf(names[2], 16, "iou-wrk-4294967");
    snprintf(names[3], 16, "kvm-nx-lpage-re");
    for (int i = 0; i < 4; i++) {
        pthread_t id;
        MUST(pthread_create(&id, NULL, named, names[i]));
    }
    usleep(20000);
    int tids[300], count = 0;
    DIR *folder = opendir("/proc/self/task");
    for (struct dirent *entry; (entry = readdir(folder)) && count < 300;)
        if (atoi(entry->d_name) > 0)
            tids[count++] = atoi(entry->d_name);
    closedir(folder);
    /* Nonsense in every word; and entries that would be served if they were believed. */
    for (int round = 0; round < 2; round++) {
        fill(page, entries_at);
        fill(page + entries_at, page_bytes - entries_at);
        uint32_t used = round ? UINT32_MAX : 4096;
        memcpy(page + ENTRIES_USED_AT, &used, sizeof used);
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
        uint64_t born_ns = round ? UINT64_MAX : now.tv_sec * 1000000000ull + now.tv_nsec;
        for (int i = 0; i < 4096; i++) {
            unsigned char *entry = page + entries_at + i * ENTRY_BYTES;
            int32_t tid = i % 3 == 0 ? victim : tids[i % count];
            uint16_t set = i % 2 ? UINT16_MAX : i;
            if (entry + ENTRY_BYTES > page + page_bytes)
                break;
            memcpy(entry, &tid, sizeof tid);
            entry[4] = i % 7;
            entry[5] = i % 11;
            memcpy(entry + 6, &set, sizeof set);
            memcpy(entry + 12, &set, sizeof set);
            memcpy(entry + 16, &born_ns, sizeof born_ns);
        }
        look_and_watch();
    }
    for (int i = 0; i < count; i++) {
        unsigned long mask = 0, expected = 1ul << expected_cpu_, before = 1ul << from_cpu;
        if (syscall(SYS_sched_getaffinity, tids[i], sizeof mask, &mask) > 0)
            EXPECT(mask == expected || mask == before);
    }
}

static void tracing(void)
{
    char byte = 0, path[64];
    struct iovec own = {&byte, 1}, its = {&sock, 1};
    EXPECT(ptrace(PTRACE_ATTACH, broker, NULL, NULL) == -1 && errno == EPERM);
    EXPECT(ptrace(PTRACE_SEIZE, broker, NULL, NULL) == -1 && errno == EPERM);
    EXPECT(process_vm_writev(broker, &own, 1, &its, 1, 0) == -1 && errno == EPERM);
    EXPECT(process_vm_readv(broker, &own, 1, &its, 1, 0) == -1 && errno == EPERM);
    const char *files[] = {"mem", "maps", "environ", "fd/0", "auxv", "syscall", "root"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(path, sizeof path, "/proc/%d/%s", broker, files[i]);
        int file = open(path, i == 0 ? O_RDWR : O_RDONLY);
        /* Some are opened and then answer nothing. */
        EXPECT(file < 0 || read(file, &byte, 1) <= 0);
    }
    int process = syscall(SYS_pidfd_open, broker, 0);
    EXPECT(process >= 0 && syscall(SYS_pidfd_getfd, process, 200, 0) == -1);
    caught_up();
}

static void signals(void)
{
    for (int signal = 1; signal <= 64; signal++)
        if (signal != SIGKILL && signal != SIGSTOP)
            syscall(SYS_kill, broker, signal);
    caught_up();
    EXPECT(kill(broker, 0) == 0);
}

static void killing(void)
{
    EXPECT(kill(broker, SIGKILL) == 0);
    usleep(200000);
}

static void closing(void)
{
    close(sock);
    usleep(200000);
}

static void shutting_down(void)
{
    shutdown(sock, SHUT_RDWR);
    usleep(200000);
}

static const struct {
    const char *name;
    void (*attack)(void);
} attacks[] = {
    {"others", threads_of_others},
    {"sets", sets_outside_the_policy},
    {"garbage", garbage},
    {"lengths", other_lengths},
    {"flood", flood},
    {"descriptors", descriptors},
    {"credentials", forged_credentials},
    {"child", a_child},
    {"answers", answers_written_over},
    {"page", page_written_over},
    {"tracing", tracing},
    {"signals", signals},
    {"killing", killing},
    {"limits", limits},
    {"closing", closing},
    {"shutting-down", shutting_down},
};

int main(int argc, char **argv)
{
    pthread_t id;
    int signal;
    sigset_t begin;
    sigemptyset(&begin);
    sigaddset(&begin, SIGUSR1);
    sigprocmask(SIG_BLOCK, &begin, NULL);
    from_cpu = atoi(getenv("FROM_CPU"));
    victim = atoi(getenv("VICTIM"));
    MUST(pthread_create(&id, NULL, parent, NULL));
    /* The parent stands where it should once a child of its own is in place without a broker. */
    if (births(1) != 1)
        return 97;
    /* The other process is made elsewhere than it belongs. */
    leave_the_set();
    MUST(-seccomp_load(NULL));
    find_socket();
    find_memory();
    puts("ready");
    fflush(stdout);
    sigwait(&begin, &signal);
    if (sock < 0 || !page || !answers || argc < 2)
        return 96;
    memcpy(&broker, page + BROKER_AT, 4);
    EXPECT(broker > 1);
    EXPECT(births(3) == 3);
    for (size_t i = 0; i < sizeof attacks / sizeof *attacks; i++)
        if (strcmp(attacks[i].name, argv[1]) == 0)
            attacks[i].attack();
    printf("%d violations, %d of 5 in place\n", violations, births(5));
    fflush(stdout);
    pause();
    return 0;
}
