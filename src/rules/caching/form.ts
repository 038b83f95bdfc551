/**
 * Where a request is sent in another form than the usual one of its URI: upstreams may answer that in another way.
 */
import { portOf } from '../http/headers.ts'
import { lowered, trimmed } from './sent.ts'
import type { SentValues } from './vary.ts'

/** What a proxy that is believed says of the URI that its client has asked for (RFC 9110 section 7.1). */
const OF_URI = [
  'x-forwarded-proto',
  'x-forwarded-host',
  'x-forwarded-port',
  'x-forwarded-prefix',
  'x-forwarded-scheme',
  'x-forwarded-protocol',
  'x-forwarded-ssl',
]

/** A Host as it is sent, and in lower case; and whether what its sender says of the client is believed. */
export interface SentHost {
  readonly host: string
  readonly lower: string
  readonly trusted: boolean
}

/** What the form of a sent request says besides its URI; '' for most. */
export function formParts({ host, lower, trusted }: SentHost, values: SentValues): string {
  let parts = ''
  // Letters in upper case, or a port that need not be said.
  if (host !== lower || DEFAULT_PORT.test(host)) parts += `\nf:host=${host}`
  if (!trusted) return parts
  const [scheme] = values('x-forwarded-proto')
  for (const name of OF_URI) {
    const said = values(name).map(trimmed).join(', ')
    if (!isUsual(name, said, host, scheme)) parts += `\nf:${name}=${said}`
  }
  return parts + forwardedParts(values)
}

const DEFAULT_PORT = /:(?:80|443)?$/

/** Whether a field says no more than banyan would, or is not there. */
function isUsual(name: string, said: string, host: string, scheme: string | undefined): boolean {
  if (name === 'x-forwarded-proto') return said === 'http' || said === 'https'
  if (name === 'x-forwarded-port') return said === portOf(host, scheme === 'https' ? 'https' : 'http')
  return said === (name === 'x-forwarded-host' ? host : '')
}

/** Of Forwarded (RFC 7239), all but who the client is. */
function forwardedParts(values: SentValues): string {
  const said = values('forwarded')
    .join(',')
    .split(',')
    .map((element) => element.split(';').filter(isOfUri).join(';'))
    .join(',')
  return /^,*$/.test(said) ? '' : `\nf:forwarded=${said}`
}

function isOfUri(pair: string): boolean {
  return !/^(?:|(?:for|by)[ \t]*=.*)$/s.test(lowered(trimmed(pair)))
}
