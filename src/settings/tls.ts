/**
 * TLS to clients: its address, certificates, client certificates, versions and ciphers.
 */
import { createSecureContext } from 'node:tls'
import { flawOfEdited } from '../rules/http/field-edits.ts'
import { kindOf } from '../rules/http/field-kinds.ts'
import { TOKEN } from '../rules/values/schema-blocks.ts'
import { type Place, readListen } from './clients.ts'
import { type Flags, orNull, readDuration, readList, readYesNo, SettingsError, type ValuesOf } from './flag.ts'

export interface TlsSettings {
  /** Where clients speak TLS; null for nowhere. */
  readonly tls: Place | null
  /** Files or folders of certificates, and files of their keys, in the same order; empty where the certificates are in folders. */
  readonly tlsCert: readonly string[]
  readonly tlsKey: readonly string[]
  /** Authorities of client certificates; null where clients are asked for none. */
  readonly tlsClientCa: string | null
  readonly tlsClientVerify: 'required' | 'optional'
  /** Header in which upstreams get the subject of a client's certificate; null for none. */
  readonly tlsClientField: string | null
  readonly tlsMinVersion: 'TLSv1.2' | 'TLSv1.3'
  readonly tlsCiphers: string
  readonly tlsHandshakeTimeoutMs: number
  /** The port of https that requests without TLS are redirected to; null where they are served. */
  readonly redirectPort: number | null
}

export const TLS_FLAGS = {
  tls: {
    value: 'HOST:PORT|unix:PATH|systemd',
    fallback: '',
    help: 'address for TLS clients, in addition to --listen; systemd: the second socket passed, after that of --listen systemd',
    read: (text: string): Place | null => (text === '' ? null : readListen(text)),
  },
  'tls-cert': {
    value: 'LIST',
    fallback: '',
    help: 'certificate files with their chains (PEM), chosen by SNI; or folders of certificates and keys',
    read: readList,
    needs: 'tls',
  },
  'tls-key': {
    value: 'LIST',
    fallback: '',
    help: 'key files for --tls-cert, in the same order; not needed for folders, or for files that hold both',
    read: readList,
    needs: 'tls-cert',
  },
  'tls-client-ca': {
    value: 'FILE',
    fallback: '',
    help: 'authorities for client certificates (PEM): clients of --tls need a certificate',
    read: orNull,
    needs: 'tls',
  },
  'tls-client-verify': {
    value: 'required|optional',
    fallback: '',
    help: 'whether clients need a certificate, with --tls-client-ca (required)',
    read: (text: string) => (text === '' ? null : readVerify(text)),
    needs: 'tls-client-ca',
  },
  'tls-client-field': {
    value: 'NAME',
    fallback: '',
    help: "header that passes the subject of a client's certificate to upstreams; removed from client requests",
    read: readFieldName,
    needs: 'tls-client-ca',
  },
  'tls-min-version': {
    value: '1.2|1.3',
    fallback: '1.2',
    help: 'minimum TLS version',
    read: readTlsVersion,
    needs: 'tls',
  },
  'tls-ciphers': {
    value: 'LIST',
    fallback: '',
    help: "ciphers in OpenSSL's format (Mozilla's intermediate configuration)",
    read: readCiphers,
    needs: 'tls',
  },
  'tls-handshake-timeout': {
    value: 'TIME',
    fallback: '10s',
    help: 'timeout of a TLS handshake, from accepting the connection',
    read: readDuration,
    needs: 'tls',
  },
  'redirect-https': {
    value: '',
    fallback: 'false',
    help: 'redirect requests without TLS to https (308)',
    read: readYesNo,
    needs: 'tls',
  },
} as const satisfies Flags

/**
 * @param acme the names that certificates are ordered for
 * @throws {SettingsError} for flags that need others
 */
export function tlsSettings(values: ValuesOf<typeof TLS_FLAGS>, acme: readonly string[]): TlsSettings {
  const { tls, 'tls-cert': certs, 'tls-key': keys, 'tls-client-ca': clientCa, 'tls-client-field': field } = values
  const verify = values['tls-client-verify']
  if (tls !== null && certs.length === 0 && acme.length === 0)
    throw new SettingsError('--tls: needs --tls-cert or --acme')
  if (keys.length > certs.length) {
    throw new SettingsError(`--tls-key: ${keys.length} keys for ${certs.length} of --tls-cert`)
  }
  return {
    tls,
    tlsCert: certs,
    tlsKey: keys,
    tlsClientCa: clientCa,
    tlsClientVerify: verify ?? 'required',
    tlsClientField: field,
    tlsMinVersion: values['tls-min-version'],
    tlsCiphers: values['tls-ciphers'],
    tlsHandshakeTimeoutMs: values['tls-handshake-timeout'],
    // One that is not known, behind a Unix socket, is the one of https.
    redirectPort: values['redirect-https'] ? tls?.port || 443 : null,
  }
}

function readVerify(text: string): 'required' | 'optional' {
  if (text === 'required' || text === 'optional') return text
  throw new SettingsError(`invalid value '${text}': must be required or optional`)
}

function readTlsVersion(text: string): 'TLSv1.2' | 'TLSv1.3' {
  if (text === '1.2' || text === '1.3') return `TLSv${text}`
  throw new SettingsError(`invalid version '${text}': must be 1.2 or 1.3`)
}

/** What clients say there is theirs to say. */
const NEVER_CLIENT: ReadonlySet<string> = new Set(['authorization', 'cookie', 'user-agent', 'accept', 'content-type'])

function readFieldName(text: string): string | null {
  if (text === '') return null
  if (!TOKEN.test(text)) throw new SettingsError(`invalid header name '${text}' (such as X-Client-Subject)`)
  const isOwn =
    kindOf(text) !== 'end-to-end' ||
    flawOfEdited(text, 'request', true) !== null ||
    NEVER_CLIENT.has(text.toLowerCase())
  if (isOwn)
    throw new SettingsError(`'${text}' has another meaning: choose a header of your own (such as X-Client-Subject)`)
  return text
}

/** Mozilla's intermediate configuration (version 5.7): forward secrecy and authenticated encryption, for all clients since 2015. */
const CIPHERS = [
  ...['TLS_AES_128_GCM_SHA256', 'TLS_AES_256_GCM_SHA384', 'TLS_CHACHA20_POLY1305_SHA256'],
  ...['ECDHE-ECDSA-AES128-GCM-SHA256', 'ECDHE-RSA-AES128-GCM-SHA256', 'ECDHE-ECDSA-AES256-GCM-SHA384'],
  ...['ECDHE-RSA-AES256-GCM-SHA384', 'ECDHE-ECDSA-CHACHA20-POLY1305', 'ECDHE-RSA-CHACHA20-POLY1305'],
].join(':')

function readCiphers(text: string): string {
  if (text === '') return CIPHERS
  try {
    createSecureContext({ ciphers: text, ca: [] })
    return text
  } catch {
    throw new SettingsError(`invalid ciphers '${text}' (such as ECDHE-RSA-AES128-GCM-SHA256:TLS_AES_128_GCM_SHA256)`)
  }
}
