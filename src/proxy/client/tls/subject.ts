/**
 * The subject of a client's certificate, as a header value.
 */
import type { X509Certificate } from 'node:crypto'

const NOT_PRINTABLE = /[^ -~]/gu

/**
 * The subject in the form of RFC 4514: the last part first, `CN=alice,O=Example`. Characters beyond ASCII are escaped as their bytes in
 * UTF-8 (section 2.4), so that it is a header value.
 */
export function subjectOf({ subject }: Pick<X509Certificate, 'subject'>): string {
  // A line for each part; node:crypto escapes what a value may hold of special characters, line ends among them.
  const parts = (subject ?? '').split('\n').filter((part) => part !== '')
  return parts
    .reverse()
    .map((part) => part.replaceAll(' + ', '+'))
    .join(',')
    .replaceAll(NOT_PRINTABLE, escaped)
}

function escaped(character: string): string {
  return [...Buffer.from(character, 'utf8')]
    .map((byte) => `\\${byte.toString(16).padStart(2, '0').toUpperCase()}`)
    .join('')
}
