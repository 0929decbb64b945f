/* SPDX-License-Identifier: Apache-2.0 */
/* A security key in software: a provider for ssh-keygen and ssh, see SecurityKeyProvider. */

/* Declared here, so that no header is needed: ssh-sk-helper has both libraries. */
typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long size;
void *calloc(size, size);
void *memcpy(void *, const void *, size);
size strlen(const char *);
char *getenv(const char *);
int access(const char *, int);
int usleep(u32);
int RAND_bytes(u8 *, int);
u8 *SHA256(const u8 *, size, u8 *);
void *EVP_PKEY_new_raw_private_key(int, void *, const u8 *, size);
int EVP_PKEY_get_raw_public_key(const void *, u8 *, size *);
void EVP_PKEY_free(void *);
void *EVP_MD_CTX_new(void);
void EVP_MD_CTX_free(void *);
int EVP_DigestSignInit(void *, void *, void *, void *, void *);
int EVP_DigestSign(void *, u8 *, size *, const u8 *, size);

enum {
    VERSION = 0x000a0000,
    ED25519 = 1,      /* the only kind of key */
    NID_ED25519 = 1087,
    FAILED = -1,
    UNSUPPORTED = -2,
    TOUCHED = 1,
    LENGTH = 32,      /* of a private key, a public key, a digest, and half a signature */
};

struct part {
    u8 *data;
    size length;
};

struct enrolled {
    u8 flags;
    struct part public_key, key_handle, signature, certificate, authdata;
};

struct signed_data {
    u8 flags;
    u32 counter;
    struct part r, s;
};

static struct part copy(const u8 *data, size length) {
    struct part part = {calloc(1, length), length};
    memcpy(part.data, data, length);
    return part;
}

u32 sk_api_version(void) { return VERSION; }

/* Wait for a file, if the test names one: then its user has touched the key. */
static int is_touched(void) {
    const char *file = getenv("SECURITY_KEY_TOUCHED");
    int tries;

    for (tries = 0; file && tries < 6000; tries++) {
        if (access(file, 0) == 0)
            return 1;
        usleep(10000);
    }
    return !file;
}

/* The handle is the private key: this is for tests. */
int sk_enroll(u32 kind, const u8 *challenge, size challenge_length, const char *application,
              u8 flags, const char *pin, void **options, struct enrolled **result) {
    u8 private[LENGTH], public[LENGTH];
    size length = LENGTH;
    void *key;

    if (kind != ED25519)
        return UNSUPPORTED;
    if (RAND_bytes(private, LENGTH) != 1)
        return FAILED;
    key = EVP_PKEY_new_raw_private_key(NID_ED25519, 0, private, LENGTH);
    if (!key || EVP_PKEY_get_raw_public_key(key, public, &length) != 1)
        return FAILED;
    EVP_PKEY_free(key);
    *result = calloc(1, sizeof **result);
    (*result)->flags = flags;
    (*result)->public_key = copy(public, LENGTH);
    (*result)->key_handle = copy(private, LENGTH);
    (*result)->signature = copy(public, 0);
    (*result)->certificate = copy(public, 0);
    (*result)->authdata = copy(public, 0);
    return 0;
}

int sk_sign(u32 kind, const u8 *data, size data_length, const char *application,
            const u8 *handle, size handle_length, u8 flags, const char *pin, void **options,
            struct signed_data **result) {
    u8 text[LENGTH + 5 + LENGTH] = {0}, signature[2 * LENGTH];
    size length = sizeof signature;
    void *key, *context;
    int done;

    if (kind != ED25519 || handle_length != LENGTH)
        return UNSUPPORTED;
    if (!is_touched())
        return FAILED;
    SHA256((const u8 *)application, strlen(application), text);
    text[LENGTH] = TOUCHED; /* and a counter of 0 */
    SHA256(data, data_length, text + LENGTH + 5);
    key = EVP_PKEY_new_raw_private_key(NID_ED25519, 0, handle, LENGTH);
    context = EVP_MD_CTX_new();
    done = key && context && EVP_DigestSignInit(context, 0, 0, 0, key) == 1 &&
           EVP_DigestSign(context, signature, &length, text, sizeof text) == 1;
    EVP_MD_CTX_free(context);
    EVP_PKEY_free(key);
    if (!done)
        return FAILED;
    *result = calloc(1, sizeof **result);
    (*result)->flags = TOUCHED;
    (*result)->r = copy(signature, sizeof signature);
    (*result)->s = copy(signature, 0);
    return 0;
}

int sk_load_resident_keys(const char *pin, void **options, void ***keys, size *count) {
    return UNSUPPORTED;
}
