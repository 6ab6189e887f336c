/* Telnyx's side of many media streams: a packet of 20 ms on each every 20 ms, and when what came back.

   Run by media_generator.py, which has opened the streams:

       media_generator BEGIN PACKETS PAYLOADS FD...

   BEGIN is a time of CLOCK_MONOTONIC in seconds; PAYLOADS a file of base64 lines, one a packet of
   PCMU.  Packets leave on absolute deadlines, the streams evenly spread over each 20 ms.  Writes for
   each stream PACKETS times of sending, the number of messages that came back, and for each of those
   when it came, how many bytes of audio it brought, and which packet they begin with (-1: within one).
   Times are doubles, numbers 64-bit integers.

   Each packet begins with its number, 4 bits in each of 4 samples that are as good as silent.

   Ends with status 3 when a server takes nothing any more, and 4 when it closes a stream. */

#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>

#define PACKET 0.02
#define LINGER 1.2 /* seconds in which what is on its way may still come */
#define LONGEST (1 << 20)

struct back { double at; int64_t bytes, first; };

struct stream {
    int fd;
    double *sent;
    struct back *backs;
    int64_t count, room;
    size_t held;
    unsigned char *buffer;
};

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static double now(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec + at.tv_nsec / 1e9;
}

static void fail(int status, const char *what)
{
    fprintf(stderr, "%s\n", what);
    exit(status);
}

/* Send a client's WebSocket frame, masked. */
static void send_frame(int fd, int opcode, const char *text, size_t size)
{
    static unsigned char frame[LONGEST];
    static uint32_t key = 0x9e3779b9;
    size_t head = 2;
    frame[0] = 0x80 | opcode;
    if (size < 126) {
        frame[1] = 0x80 | size;
    } else {
        frame[1] = 0x80 | 126;
        frame[2] = size >> 8;
        frame[3] = size & 0xff;
        head = 4;
    }
    key = key * 1664525 + 1013904223;
    memcpy(frame + head, &key, 4);
    for (size_t i = 0; i < size; i++)
        frame[head + 4 + i] = text[i] ^ frame[head + (i & 3)];
    if (send(fd, frame, head + 4 + size, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)(head + 4 + size))
        fail(3, "the server does not read");
}

/* Write the number of a packet in the place of its first six samples. */
static void write_number(char *payload, long number)
{
    unsigned bytes[6] = {240 | (number >> 12 & 15), 240 | (number >> 8 & 15), 240 | (number >> 4 & 15),
                         240 | (number & 15), 255, 255};
    for (int i = 0; i < 8; i++) {
        unsigned bits = bytes[i / 4 * 3] << 16 | bytes[i / 4 * 3 + 1] << 8 | bytes[i / 4 * 3 + 2];
        payload[i] = digits[bits >> (18 - 6 * (i & 3)) & 63];
    }
}

static long read_number(const char *payload)
{
    uint64_t bits = 0;
    for (int i = 0; i < 8; i++) {
        const char *at = payload[i] ? strchr(digits, payload[i]) : NULL;
        if (at == NULL)
            return -1;
        bits = bits << 6 | (at - digits);
    }
    if ((bits & 0xf0f0f0f0ffff) != 0xf0f0f0f0ffff)
        return -1;
    return (bits >> 28 & 0xf000) | (bits >> 24 & 0xf00) | (bits >> 20 & 0xf0) | (bits >> 16 & 0xf);
}

static void send_packet(struct stream *stream, long number, long chunk, char *payload)
{
    char text[4096];
    write_number(payload, chunk - 1);
    int size = snprintf(text, sizeof text,
        "{\"event\":\"media\",\"sequence_number\":\"%ld\",\"media\":{\"track\":\"inbound\","
        "\"chunk\":\"%ld\",\"timestamp\":\"%ld\",\"payload\":\"%s\"},\"stream_id\":\"stream-%08ld\"}",
        chunk + 1, chunk, 160 * chunk, payload, number);
    stream->sent[chunk - 1] = now();
    send_frame(stream->fd, 1, text, size);
}

static void take_message(struct stream *stream, const char *text, size_t size, double at)
{
    const char *end = text + size, *begin = memmem(text, size, "\"payload\"", 9);
    if (begin == NULL || (begin = memchr(begin + 9, '"', end - begin - 9)) == NULL)
        return;
    begin++;
    const char *finish = memchr(begin, '"', end - begin);
    if (finish == NULL || finish - begin < 8)
        return;
    int64_t bytes = (finish - begin) / 4 * 3 - (finish[-1] == '=') - (finish[-2] == '=');
    if (stream->count == stream->room) {
        stream->room = stream->room ? 2 * stream->room : 1024;
        stream->backs = realloc(stream->backs, stream->room * sizeof *stream->backs);
    }
    stream->backs[stream->count++] = (struct back){at, bytes, read_number(begin)};
}

static void receive(struct stream *stream)
{
    ssize_t got = recv(stream->fd, stream->buffer + stream->held, LONGEST - stream->held, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0)
        fail(4, "the server closed a stream");
    double at = now();
    unsigned char *frame = stream->buffer, *end = frame + stream->held + got;
    while (end - frame >= 2) {
        size_t size = frame[1] & 127, head = 2;
        if (size == 126 && end - frame >= 4) {
            size = frame[2] << 8 | frame[3];
            head = 4;
        } else if (size == 126) {
            break;
        } else if (size == 127) {
            fail(4, "the server sent a message that is too long");
        }
        if ((size_t)(end - frame) < head + size)
            break;
        int opcode = frame[0] & 15;
        if (opcode == 9)
            send_frame(stream->fd, 10, (char *)frame + head, size);
        else if (opcode == 8)
            fail(4, "the server closed a stream");
        else
            take_message(stream, (char *)frame + head, size, at);
        frame += head + size;
    }
    stream->held = end - frame;
    memmove(stream->buffer, frame, stream->held);
}

static char **read_payloads(const char *name, long *count)
{
    FILE *file = fopen(name, "r");
    char **lines = NULL, line[2048];
    if (file == NULL)
        fail(2, "cannot read the payloads");
    for (*count = 0; fgets(line, sizeof line, file); ++*count) {
        line[strcspn(line, "\n")] = 0;
        lines = realloc(lines, (*count + 1) * sizeof *lines);
        lines[*count] = strdup(line);
    }
    fclose(file);
    return lines;
}

static void write_all(const void *data, size_t size)
{
    if (fwrite(data, 1, size, stdout) != size)
        fail(2, "cannot write");
}

int main(int argc, char **argv)
{
    if (argc < 5)
        fail(2, "usage: media_generator BEGIN PACKETS PAYLOADS FD...");
    double begin = atof(argv[1]);
    long packets = atol(argv[2]), count = argc - 4, lines, number = 0;
    char **payloads = read_payloads(argv[3], &lines);
    struct stream *streams = calloc(count, sizeof *streams);
    int poll = epoll_create1(0), timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    struct epoll_event events[256], event = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_ctl(poll, EPOLL_CTL_ADD, timer, &event);
    for (long i = 0; i < count; i++) {
        streams[i].fd = atoi(argv[4 + i]);
        streams[i].sent = calloc(packets, sizeof(double));
        streams[i].buffer = malloc(LONGEST);
        event.data.ptr = &streams[i];
        epoll_ctl(poll, EPOLL_CTL_ADD, streams[i].fd, &event);
    }
    double step = PACKET / count, due, end = begin + packets * PACKET + LINGER;
    while (now() < end) {
        for (; number < packets * count && (due = begin + number * step) <= now(); number++) {
            long i = number % count, chunk = number / count + 1;
            send_packet(&streams[i], i, chunk, payloads[(chunk + 7 * i) % lines]);
        }
        due = number < packets * count ? begin + number * step : end;
        struct itimerspec set = {.it_value = {(time_t)due, (long)((due - (time_t)due) * 1e9)}};
        timerfd_settime(timer, TFD_TIMER_ABSTIME, &set, NULL);
        int ready = epoll_wait(poll, events, 256, -1);
        for (int i = 0; i < ready; i++)
            if (events[i].data.ptr != NULL)
                receive(events[i].data.ptr);
    }
    for (long i = 0; i < count; i++) {
        write_all(streams[i].sent, packets * sizeof(double));
        write_all(&streams[i].count, sizeof streams[i].count);
        write_all(streams[i].backs, streams[i].count * sizeof(struct back));
    }
    return 0;
}
