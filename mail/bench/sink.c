/* An SMTP server for `manage.py bench deliver`: takes every mail, keeps none, and costs next to nothing.
 *
 *     sink STATS [DELAY_MS]
 *
 * Listens on a free port of 127.0.0.1 and prints it. STATS is a file of NUMBERS unsigned 64-bit integers in the
 * machine's byte order that the caller maps as well: mails, bytes, connections, signed mails, protocol errors.
 * DELAY_MS: answers to what arrived together leave so much later: a round trip time for each flight.
 *
 * It answers as a strict server would: commands out of order are refused and counted, a mail ends at CRLF . CRLF only.
 * PIPELINING, SIZE, 8BITMIME, SMTPUTF8; one thread, epoll. Ends with SIGTERM or when its standard input is closed.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAILS, BYTES, CONNECTIONS, SIGNED, ERRORS, NUMBERS };
enum { IN_SIZE = 1 << 17, LINE_MAX_ = 1000, OUT_SIZE = 1 << 14, FLIGHTS = 256, CONNECTIONS_MAX = 1024 };
enum state { GREETED, READY, MAIL, RCPT, DATA };

struct flight { int64_t due; size_t end; }; /* answers up to `end` of `out` leave at `due` */

struct connection {
    int fd;
    enum state state;
    int quitting, any_data;
    size_t in_length, out_length, sent, first, flights;
    struct flight queue[FLIGHTS];
    char in[IN_SIZE];
    char out[OUT_SIZE];
    size_t size; /* of the mail that is coming in */
    struct connection *next;
};

static volatile uint64_t *numbers;
static struct connection *connections;
static int epoll_fd, open_connections, ending;
static int64_t delay_ns;

static void die(const char *what) {
    perror(what);
    exit(1);
}

static int64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static void end(int number) {
    (void)number;
    ending = 1;
}

static void answer(struct connection *one, const char *text) {
    size_t length = strlen(text);
    if (one->out_length + length > OUT_SIZE) { /* it asks without ever reading: no client of ours */
        one->quitting = 1;
        return;
    }
    memcpy(one->out + one->out_length, text, length);
    one->out_length += length;
}

static void refuse(struct connection *one, const char *text) {
    numbers[ERRORS]++;
    answer(one, text);
}

static int is(const char *line, size_t length, const char *command) {
    size_t wanted = strlen(command);
    return length >= wanted && !strncasecmp(line, command, wanted);
}

static void command(struct connection *one, const char *line, size_t length) {
    if (is(line, length, "EHLO ") || is(line, length, "HELO ")) {
        one->state = READY;
        answer(one, "250-sink\r\n250-PIPELINING\r\n250-SIZE 104857600\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n250 SMTPUTF8\r\n");
    } else if (is(line, length, "MAIL FROM:<")) {
        if (one->state != READY) { refuse(one, "503 5.5.1 MAIL out of order\r\n"); return; }
        one->state = MAIL;
        answer(one, "250 2.1.0 Ok\r\n");
    } else if (is(line, length, "RCPT TO:<")) {
        if (one->state != MAIL && one->state != RCPT) { refuse(one, "503 5.5.1 RCPT out of order\r\n"); return; }
        one->state = RCPT;
        answer(one, "250 2.1.5 Ok\r\n");
    } else if (is(line, length, "DATA") && length == 4) {
        if (one->state != RCPT) { refuse(one, "503 5.5.1 DATA out of order\r\n"); return; }
        one->state = DATA;
        one->size = 0;
        one->any_data = 0;
        answer(one, "354 Go ahead\r\n");
    } else if (is(line, length, "RSET")) {
        if (one->state != GREETED) one->state = READY;
        answer(one, "250 2.0.0 Ok\r\n");
    } else if (is(line, length, "NOOP")) {
        answer(one, "250 2.0.0 Ok\r\n");
    } else if (is(line, length, "QUIT")) {
        answer(one, "221 2.0.0 Bye\r\n");
        one->quitting = 1;
    } else {
        refuse(one, "500 5.5.2 What?\r\n");
    }
}

/* The place of CRLF . CRLF in `text`, or NULL. At the beginning of a mail the first CRLF is that of DATA. */
static const char *dot_line(const char *text, size_t length, int beginning) {
    const char *end = text + length, *at = text;
    if (beginning && length >= 3 && !memcmp(text, ".\r\n", 3)) return text - 2;
    while ((at = memchr(at, '.', (size_t)(end - at)))) {
        if (at - text >= 2 && end - at >= 3 && at[-2] == '\r' && at[-1] == '\n' && at[1] == '\r' && at[2] == '\n')
            return at - 2;
        at++;
    }
    return NULL;
}

/* Takes what can be taken of the input; returns how much that was. */
static size_t take(struct connection *one, const char *text, size_t length) {
    if (one->state != DATA) {
        const char *line_end = memmem(text, length, "\r\n", 2);
        if (!line_end) {
            if (length > LINE_MAX_) { refuse(one, "500 5.5.2 Line too long\r\n"); one->quitting = 1; }
            return 0;
        }
        command(one, text, (size_t)(line_end - text));
        return (size_t)(line_end - text) + 2;
    }
    const char *dot = dot_line(text, length, !one->any_data);
    if (!dot && !one->any_data && length < 15) return 0;
    if (!one->any_data && length >= 15 && !strncasecmp(text, "DKIM-Signature:", 15)) numbers[SIGNED]++;
    if (dot) {
        one->size += dot < text ? 0 : (size_t)(dot - text) + 2;
        one->state = READY;
        numbers[BYTES] += one->size;
        numbers[MAILS]++;
        answer(one, "250 2.0.0 Ok: taken\r\n");
        return (size_t)(dot - text) + 5;
    }
    one->any_data = 1;
    if (length <= 4) return 0;
    one->size += length - 4; /* the last four may belong to the dot */
    return length - 4;
}

static void close_connection(struct connection *one) {
    close(one->fd);
    for (struct connection **link = &connections; *link; link = &(*link)->next)
        if (*link == one) { *link = one->next; break; }
    open_connections--;
    free(one);
}

/* Sends what is due. Returns 0 when the connection is gone. */
static int send_due(struct connection *one, int64_t time) {
    size_t until = one->sent;
    while (one->flights && one->queue[one->first].due <= time) {
        until = one->queue[one->first].end;
        one->first = (one->first + 1) % FLIGHTS;
        one->flights--;
    }
    while (one->sent < until) {
        ssize_t written = send(one->fd, one->out + one->sent, until - one->sent, MSG_NOSIGNAL);
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) { close_connection(one); return 0; } /* 16 KB of answers always fit a socket's buffer */
        one->sent += (size_t)written;
    }
    if (one->sent == one->out_length) {
        one->sent = one->out_length = 0;
        if (one->quitting) { close_connection(one); return 0; }
    }
    return 1;
}

static int timed_answers(struct connection *one, int64_t time) {
    size_t end = one->flights ? one->queue[(one->first + one->flights - 1) % FLIGHTS].end : one->sent;
    if (one->out_length > end) {
        if (one->flights == FLIGHTS) one->quitting = 1;
        else one->queue[(one->first + one->flights++) % FLIGHTS] = (struct flight){time + delay_ns, one->out_length};
    }
    return send_due(one, time);
}

static void receive(struct connection *one) {
    ssize_t received = recv(one->fd, one->in + one->in_length, IN_SIZE - one->in_length, 0);
    if (received < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (received <= 0) { close_connection(one); return; }
    one->in_length += (size_t)received;
    size_t used = 0, more;
    while (!one->quitting && used < one->in_length && (more = take(one, one->in + used, one->in_length - used)))
        used += more;
    one->in_length -= used;
    memmove(one->in, one->in + used, one->in_length);
    timed_answers(one, now());
}

static void take_connection(int listener) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), yes = 1;
    if (fd < 0) return;
    struct connection *one = open_connections < CONNECTIONS_MAX ? calloc(1, sizeof *one) : NULL;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = one};
    if (!one || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event)) { close(fd); free(one); return; }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    one->fd = fd;
    one->next = connections;
    connections = one;
    open_connections++;
    numbers[CONNECTIONS]++;
    answer(one, "220 sink ESMTP\r\n");
    timed_answers(one, now());
}

/* Milliseconds until the next answer is due; -1: none is. */
static int next_due(void) {
    int64_t first = INT64_MAX, time = now();
    for (struct connection *one = connections; one; one = one->next)
        if (one->flights && one->queue[one->first].due < first) first = one->queue[one->first].due;
    if (first == INT64_MAX) return -1;
    return first <= time ? 0 : (int)((first - time + 999999) / 1000000);
}

int main(int count, char **words) {
    if (count < 2) { fprintf(stderr, "sink STATS [DELAY_MS]\n"); return 2; }
    delay_ns = count > 2 ? strtoll(words[2], NULL, 10) * 1000000 : 0;
    int file = open(words[1], O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (file < 0 || ftruncate(file, NUMBERS * sizeof *numbers)) die(words[1]);
    numbers = mmap(NULL, NUMBERS * sizeof *numbers, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (numbers == MAP_FAILED) die("mmap");
    signal(SIGTERM, end);
    signal(SIGINT, end);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, length) || listen(listener, 128)) die("listen");
    getsockname(listener, (struct sockaddr *)&address, &length);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event ours = {.events = EPOLLIN, .data.ptr = &listener}, input = {.events = EPOLLIN, .data.ptr = &ending};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &ours) || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, 0, &input)) die("epoll");
    while (!ending) {
        struct epoll_event events[64];
        int ready = epoll_wait(epoll_fd, events, 64, delay_ns ? next_due() : -1);
        for (int number = 0; number < ready; number++) {
            void *what = events[number].data.ptr;
            if (what == &listener) take_connection(listener);
            else if (what == &ending) { char rest[64]; if (read(0, rest, sizeof rest) <= 0) ending = 1; }
            else receive(what);
        }
        if (delay_ns) {
            int64_t time = now();
            for (struct connection *one = connections, *next; one; one = next) {
                next = one->next;
                send_due(one, time);
            }
        }
    }
    return 0;
}
