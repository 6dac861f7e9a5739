// Exceptions in threads: one that is caught, a cancellation that unwinds through objects, and, with
// the argument "uncaught", one that nobody catches, which ends the program in the usual way.
#include "common.h"
#include <stdexcept>
#include <string>
#include <thread>
#include <unistd.h>

struct Traced {
    const char *name;
    ~Traced() { printf("%s is gone\n", name); }
};

static void *catches(void *arg)
{
    here("thread");
    try {
        Traced object{"object"};
        throw std::runtime_error("thrown");
    } catch (const std::exception &e) {
        printf("caught %s\n", e.what());
    }
    return arg;
}

static void *is_cancelled(void *arg)
{
    Traced object{"cancelled object"};
    for (;;)
        pause();
    return arg;
}

static void *does_not_catch(void *)
{
    fflush(stdout);
    throw std::runtime_error("nobody catches this");
}

int main(int argc, char **)
{
    pthread_t id;
    void *back;
    static char sent;
    if (argc > 1) {
        MUST(pthread_create(&id, nullptr, does_not_catch, nullptr));
        pthread_join(id, nullptr);
        return 98;
    }
    for (int i = 0; i < 100; i++) {
        MUST(pthread_create(&id, nullptr, catches, &sent));
        MUST(pthread_join(id, &back));
        printf("%d\n", back == &sent);
    }
    MUST(pthread_create(&id, nullptr, is_cancelled, nullptr));
    usleep(10000);
    MUST(pthread_cancel(id));
    MUST(pthread_join(id, &back));
    printf("%d\n", back == PTHREAD_CANCELED);
    std::string from_lambda;
    std::thread([&] { here("std::thread"); from_lambda = "std::thread has run"; }).join();
    puts(from_lambda.c_str());
    return 0;
}
