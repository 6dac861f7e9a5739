/* The front end of a vhost-user file system (virtiofsd), as QEMU is one for its guest: gives it memory and two queues,
   mounts the file system, and looks a file up. It then keeps the connection until it is killed.

   usage: front_end SOCKET FILE

   The protocol is that of QEMU's docs/interop/vhost-user.rst, the queues are VIRTIO's split ones, the requests those of
   linux/fuse.h. */
#include "common.h"
#include <errno.h>
#include <linux/fuse.h>
#include <linux/virtio_ring.h>
#include <poll.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { GET_FEATURES = 1, SET_FEATURES, SET_OWNER, SET_MEM_TABLE = 5, SET_VRING_NUM = 8, SET_VRING_ADDR, SET_VRING_BASE,
       SET_VRING_KICK = 12, SET_VRING_CALL };

/* VIRTIO_F_VERSION_1 */
#define FEATURES (1ull << 32)
#define MEMORY (1 << 20)
#define ENTRIES 16

/* What each of the queues has in the memory: its ring on two pages, and a page for a request and its answer. */
#define QUEUES 2
#define ROOM (4 * 4096)
enum { HIGH_PRIORITY, REQUESTS };

static int connection;
static char *memory;
static struct vring ring[QUEUES];
static int kick[QUEUES], call[QUEUES];

static void refused(const char *what)
{
    printf("%s: %s\n", what, strerror(errno));
    exit(98);
}

struct message {
    uint32_t request, flags, size;
    union {
        uint64_t number;
        struct {
            uint32_t index, number;
        } state;
        struct {
            uint32_t index, flags;
            uint64_t descriptors, used, available, log;
        } ring;
        struct {
            uint32_t regions, padding;
            uint64_t guest_address, size, user_address, offset;
        } memory;
    };
} __attribute__((packed));

/* Sends a message, with a descriptor unless that is -1. */
static void send_message(struct message *message, uint32_t request, uint32_t size, int descriptor)
{
    message->request = request;
    message->flags = 1;
    message->size = size;
    struct iovec data = {message, 12 + size};
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } control = {.header = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
    struct msghdr header = {.msg_iov = &data, .msg_iovlen = 1};
    if (descriptor >= 0) {
        memcpy(CMSG_DATA(&control.header), &descriptor, sizeof descriptor);
        header.msg_control = &control;
        header.msg_controllen = sizeof control;
    }
    if (sendmsg(connection, &header, MSG_NOSIGNAL) != (ssize_t)(12 + size))
        refused("send");
}

static void send_number(uint32_t request, uint64_t number, int descriptor)
{
    struct message message = {.number = number};
    send_message(&message, request, sizeof message.number, descriptor);
}

/* Messages are seen to in their order: the answer also says that the other side is done with those before. */
static uint64_t features(void)
{
    struct message message;
    send_message(&message, GET_FEATURES, 0, -1);
    if (recv(connection, &message, 12 + sizeof message.number, MSG_WAITALL) != 12 + sizeof message.number)
        refused("features");
    return message.number;
}

static void set_up_queue(uint32_t index)
{
    char *room = memory + index * ROOM;
    vring_init(&ring[index], ENTRIES, room, 4096);
    struct message message = {.state = {index, ENTRIES}};
    send_message(&message, SET_VRING_NUM, sizeof message.state, -1);
    message.state.number = 0;
    send_message(&message, SET_VRING_BASE, sizeof message.state, -1);
    message.ring.index = index;
    message.ring.flags = 0;
    message.ring.descriptors = (uintptr_t)ring[index].desc;
    message.ring.used = (uintptr_t)ring[index].used;
    message.ring.available = (uintptr_t)ring[index].avail;
    message.ring.log = 0;
    send_message(&message, SET_VRING_ADDR, sizeof message.ring, -1);
    kick[index] = eventfd(0, EFD_CLOEXEC);
    call[index] = eventfd(0, EFD_CLOEXEC);
    send_number(SET_VRING_CALL, index, call[index]);
    /* This starts the queue. */
    send_number(SET_VRING_KICK, index, kick[index]);
}

/* Sends a request of so many bytes behind its header, and waits for the answer, of so many at most. */
static void ask(uint32_t opcode, uint64_t node, const void *body, uint32_t size, uint32_t answer_size)
{
    static uint64_t unique;
    struct vring *queue = &ring[REQUESTS];
    char *room = memory + REQUESTS * ROOM + 2 * 4096, *answer = room + 4096;
    struct fuse_in_header in = {.len = sizeof in + size, .opcode = opcode, .unique = ++unique, .nodeid = node};
    memcpy(room, &in, sizeof in);
    memcpy(room + sizeof in, body, size);
    queue->desc[0] = (struct vring_desc){room - memory, in.len, VRING_DESC_F_NEXT, 1};
    queue->desc[1] =
        (struct vring_desc){answer - memory, sizeof(struct fuse_out_header) + answer_size, VRING_DESC_F_WRITE, 0};
    queue->avail->ring[queue->avail->idx % ENTRIES] = 0;
    __atomic_store_n(&queue->avail->idx, queue->avail->idx + 1, __ATOMIC_RELEASE);
    uint64_t one = 1;
    if (write(kick[REQUESTS], &one, sizeof one) != sizeof one)
        refused("kick");
    while (__atomic_load_n(&queue->used->idx, __ATOMIC_ACQUIRE) != queue->avail->idx) {
        struct pollfd answered[] = {{call[REQUESTS], POLLIN, 0}, {connection, POLLRDHUP, 0}};
        poll(answered, 2, -1);
        if (answered[0].revents && read(call[REQUESTS], &one, sizeof one) != sizeof one)
            refused("call");
        if (answered[1].revents) {
            puts("the other side has gone");
            exit(97);
        }
    }
    struct fuse_out_header *out = (struct fuse_out_header *)answer;
    printf("request %u: %s\n", opcode, out->unique == unique ? strerror(-out->error) : "another's answer");
}

int main(int argc, char **argv)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (argc < 3 || strlen(argv[1]) >= sizeof address.sun_path)
        return 96;
    alarm(120);
    strcpy(address.sun_path, argv[1]);
    connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    /* It may not be there yet, or not listen. */
    while (connect(connection, (struct sockaddr *)&address, sizeof address) != 0) {
        if (errno != ENOENT && errno != ECONNREFUSED)
            refused("connect");
        usleep(1000);
    }
    int shared = memfd_create("guest", MFD_CLOEXEC);
    if (ftruncate(shared, MEMORY) != 0)
        refused("ftruncate");
    memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED, shared, 0);
    if (memory == MAP_FAILED)
        refused("mmap");

    struct message message;
    send_message(&message, SET_OWNER, 0, -1);
    send_number(SET_FEATURES, features() & FEATURES, -1);
    message.memory.regions = 1;
    message.memory.padding = 0;
    message.memory.guest_address = 0;
    message.memory.size = MEMORY;
    message.memory.user_address = (uintptr_t)memory;
    message.memory.offset = 0;
    send_message(&message, SET_MEM_TABLE, sizeof message.memory, shared);
    set_up_queue(HIGH_PRIORITY);
    set_up_queue(REQUESTS);
    features();

    struct fuse_init_in init = {.major = FUSE_KERNEL_VERSION, .minor = 31};
    ask(FUSE_INIT, 0, &init, sizeof init, sizeof(struct fuse_init_out));
    ask(FUSE_LOOKUP, FUSE_ROOT_ID, argv[2], strlen(argv[2]) + 1, sizeof(struct fuse_entry_out));
    puts("served");
    fflush(stdout);
    for (;;)
        pause();
}
