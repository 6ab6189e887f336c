/* The least that any server can do: parse, base64 there and back, send back; one epoll, no library.

       c_echo PORT

   Speaks as much HTTP and JSON as media_generator.py needs: its WebSocket key is always the one of
   RFC 6455 §1.3, so that the answer to it is too, and its messages are never in pieces. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define LONGEST (1 << 16)
#define UPGRADED \
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" \
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
#define BACK "{\"event\":\"media\",\"media\":{\"payload\":\""

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static signed char values[256];

struct stream { int fd, open; size_t held; unsigned char buffer[2 * LONGEST]; };

static size_t decode(const char *text, size_t size, unsigned char *out)
{
    size_t length = 0;
    for (size_t i = 0; i + 3 < size; i += 4) {
        unsigned bits = 0;
        for (int j = 0; j < 4; j++)
            bits = bits << 6 | (text[i + j] == '=' ? 0 : values[(unsigned char)text[i + j]]);
        out[length++] = bits >> 16;
        if (text[i + 2] != '=')
            out[length++] = bits >> 8;
        if (text[i + 3] != '=')
            out[length++] = bits;
    }
    return length;
}

static size_t encode(const unsigned char *data, size_t size, char *out)
{
    size_t length = 0;
    for (size_t i = 0; i < size; i += 3) {
        int some = size - i < 3 ? size - i : 3;
        unsigned bits = data[i] << 16 | (some > 1 ? data[i + 1] << 8 : 0) | (some > 2 ? data[i + 2] : 0);
        for (int j = 0; j < 4; j++)
            out[length++] = j <= some ? digits[bits >> (18 - 6 * j) & 63] : '=';
    }
    return length;
}

static void send_back(int fd, const char *text, size_t size)
{
    static char frame[2 * LONGEST];
    static unsigned char audio[LONGEST];
    const char *begin = memmem(text, size, "\"payload\":\"", 11), *end;
    if (begin == NULL || (end = memchr(begin + 11, '"', text + size - begin - 11)) == NULL)
        return;
    size_t length = decode(begin + 11, end - begin - 11, audio), body = sizeof BACK - 1;
    memcpy(frame + 4, BACK, body);
    body += encode(audio, length, frame + 4 + body);
    memcpy(frame + 4 + body, "\"}}", 3);
    body += 3;
    frame[0] = (char)0x81;
    frame[1] = 126;
    frame[2] = body >> 8;
    frame[3] = body & 0xff;
    send(fd, frame, 4 + body, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Answer an HTTP request; whether it opened a stream. */
static int answer(int fd, char *head, int port)
{
    static char body[1 << 20], reply[1 << 21];
    size_t size = 0;
    if (strncmp(head, "GET /media", 10) == 0)
        return send(fd, UPGRADED, sizeof UPGRADED - 1, 0) > 0;
    char *count = strstr(head, "count=");
    size += sprintf(body, "[");
    for (int i = 0; count != NULL && i < atoi(count + 6); i++)
        size += sprintf(body + size, "%s[\"leg-%d\",\"ws://127.0.0.1:%d/media\"]", i ? "," : "", i, port);
    size += sprintf(body + size, "]");
    int length = sprintf(reply, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%s", size, body);
    if (send(fd, reply, length, 0) != length)
        perror("send");
    return 0;
}

/* Take in what a stream has; false when it has ended. */
static int receive(struct stream *stream, int port)
{
    unsigned char *at = stream->buffer, *end;
    ssize_t got = recv(stream->fd, at + stream->held, LONGEST - stream->held, MSG_DONTWAIT);
    if (got <= 0)
        return 0;
    end = at + stream->held + got;
    if (!stream->open) {
        *end = 0;
        char *rest = strstr((char *)at, "\r\n\r\n");
        stream->held += got;
        if (rest == NULL)
            return 1;
        stream->open = answer(stream->fd, (char *)at, port);
        if (!stream->open)
            return 0;
        at = (unsigned char *)rest + 4;
    }
    while (end - at >= 8) {
        size_t size = at[1] & 127, head = 6;
        if (size == 126) {
            size = at[2] << 8 | at[3];
            head = 8;
        }
        if ((size_t)(end - at) < head + size)
            break;
        for (size_t i = 0; i < size; i++)
            at[head + i] ^= at[head - 4 + (i & 3)];
        send_back(stream->fd, (char *)at + head, size);
        at += head + size;
    }
    stream->held = end - at;
    memmove(stream->buffer, at, stream->held);
    return 1;
}

int main(int argc, char **argv)
{
    int port = argc > 1 ? atoi(argv[1]) : 8000, yes = 1, poll = epoll_create1(0);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct epoll_event events[256], event = {.events = EPOLLIN, .data.ptr = NULL};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (int i = 0; i < 64; i++)
        values[(unsigned char)digits[i]] = i;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 1024)) {
        perror("c_echo");
        return 1;
    }
    epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int ready = epoll_wait(poll, events, 256, -1);
        for (int i = 0; i < ready; i++) {
            struct stream *stream = events[i].data.ptr;
            if (stream == NULL) {
                stream = calloc(1, sizeof *stream);
                stream->fd = accept(listener, NULL, NULL);
                setsockopt(stream->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
                event.data.ptr = stream;
                epoll_ctl(poll, EPOLL_CTL_ADD, stream->fd, &event);
            } else if (!receive(stream, port)) {
                close(stream->fd);
                free(stream);
            }
        }
    }
}
