/**
 * The subject of a client's certificate, as a header value.
 */
import type { X509Certificate } from 'node:crypto'

const NOT_PRINTABLE = /[^ -~]/gu

/**
 * The subject in the form of RFC 4514, with the last part first: `CN=alice,O=Example`. Non-ASCII characters are escaped as their UTF-8
 * bytes (section 2.4) to get a valid header value.
 */
export function subjectOf({ subject }: Pick<X509Certificate, 'subject'>): string {
  // One line per part; node:crypto escapes special characters in values, including line ends.
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
