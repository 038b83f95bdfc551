/**
 * Causes in words for the operator: one line each, and no two faults alike.
 */
import { expect, test } from 'vitest'
import { causeText } from '../../../src/rules/failures/cause.ts'

const SOURCE = '../deps/openssl/openssl/ssl/record/rec_layer_s3.c'

test.each([
  ['', 'connect ECONNREFUSED 127.0.0.1:1', 'connect ECONNREFUSED 127.0.0.1:1'],
  ['', 'of two\n  lines \n', 'of two; lines'],
  [
    'ERR_SSL_SSL/TLS_ALERT_HANDSHAKE_FAILURE',
    `40578CE0F77F0000:error:0A000410:SSL routines:ssl3_read_bytes:ssl/tls alert handshake failure:${SOURCE}:918:SSL alert number 40\n`,
    'the server refused TLS: handshake failure (alert 40)',
  ],
  [
    'EPROTO',
    `write EPROTO 40578CE0F77F0000:error:0A00045C:SSL routines:ssl3_read_bytes:tlsv13 alert certificate required:${SOURCE}:918:SSL alert number 116:\n`,
    'the server refused TLS: certificate required (alert 116)',
  ],
  [
    'ERR_SSL_WRONG_VERSION_NUMBER',
    `40578CE0F77F0000:error:0A00010B:SSL routines:tls_validate_record_header:wrong version number:${SOURCE}:77:\n`,
    'the server does not speak TLS on this port',
  ],
  [
    'ERR_SSL_NO_PROTOCOLS_AVAILABLE',
    `40578CE0F77F0000:error:0A0000BF:SSL routines:tls_setup_handshake:no protocols available:${SOURCE}:104:\n`,
    'TLS: no protocols available',
  ],
])('%s %j is %j', (code, message, text) => {
  expect(causeText(Object.assign(new Error(message), { code }))).toBe(text)
})
