/**
 * Parses IP addresses of peers, proxies and operators into one canonical form, so that trust, draws, caching and logging can
 * compare them as strings.
 */
import ip from 'ipaddr.js'
import { UNIX_PEER } from '../http/exchange.ts'

/** Dotted decimals in full, without leading zeros: canonical as they are. Nearly all addresses are such. */
const DOTTED = /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}$/

/**
 * An address in its canonical form: IPv4 in dotted decimals, IPv6 by RFC 5952 and without a zone, an IPv4-mapped one (RFC 4291
 * section 2.5.5.2) as the IPv4 address that it is. Null where the text is no address.
 */
export function readAddress(text: string): string | null {
  if (DOTTED.test(text)) return text
  if (!text.includes(':') || !ip.IPv6.isValid(text)) return null
  const address = ip.IPv6.parse(text)
  if (address.isIPv4MappedAddress()) return address.toIPv4Address().toString()
  delete address.zoneId
  return address.toString()
}

/** The peer of a connection: an address in its canonical form, or `unix`. Null where the text is neither. */
export function readPeer(text: string): string | null {
  return text === UNIX_PEER ? text : readAddress(text)
}

/** `[2001:db8::1]:443`, `[2001:db8::1]`; `203.0.113.7:443`, `::ffff:203.0.113.7:443`. */
const BRACKETED = /^\[([^\]]*)\](?::\d{1,5})?$/
const DOTTED_WITH_PORT = /^(.*\.\d{1,3}):\d{1,5}$/

/**
 * The address of an element of X-Forwarded-For, which some proxies write with a port, in brackets or quotes. Null where it is none:
 * `unknown`, or an identifier of the proxy's own (RFC 7239 section 6).
 */
export function readHop(text: string): string | null {
  const bare = text.replace(/^"(.*)"$/, '$1')
  return readAddress(BRACKETED.exec(bare)?.[1] ?? DOTTED_WITH_PORT.exec(bare)?.[1] ?? bare)
}

/**
 * The client behind a chain of proxies: the nearest address in X-Forwarded-For that is not one of our own proxies'. Where a
 * proxy does not say who asked it, that proxy is the client.
 * @param forwardedFor all lines of the field, joined by commas
 * @param peer canonical; it is trusted
 */
export function clientOf(forwardedFor: string, peer: string, isTrusted: (address: string) => boolean): string {
  let client = peer
  for (const text of forwardedFor.split(',').reverse()) {
    const hop = text.trim()
    if (hop === '') continue
    const address = readHop(hop)
    if (address === null) break
    client = address
    if (!isTrusted(address)) break
  }
  return client
}

/** A network, or a single address. */
export interface Network {
  /** As written. */
  readonly text: string
  /** Canonical. */
  readonly address: string
  readonly family: 'ipv4' | 'ipv6'
  /** Length of the prefix, in bits. */
  readonly prefix: number
}

/** Reads `10.0.0.0/8` or `::1`; null where the text is neither. IPv4-mapped networks are the IPv4 ones that they are. */
export function readNetwork(text: string): Network | null {
  const [, written = '', length] = /^\[?([^\]/]*)\]?(?:\/(\d{1,3}))?$/.exec(text) ?? []
  const address = readAddress(written)
  if (address === null) return null
  const family = familyOf(address)
  const mapped = family === 'ipv4' && written.includes(':')
  const bits = family === 'ipv4' ? 32 : 128
  const prefix = length === undefined ? bits : Number(length) - (mapped ? 96 : 0)
  return prefix < 0 || prefix > bits ? null : { text, address, family, prefix }
}

/** Whether an address lies in a network. @param address canonical; what is no address lies in none */
export function networkHas({ address: base, family, prefix }: Network, address: string): boolean {
  if (family === 'ipv4' && DOTTED.test(address)) {
    return prefix === 0 || (numberOf(base) ^ numberOf(address)) >>> (32 - prefix) === 0
  }
  if (!address.includes(':') || family === 'ipv4' || !ip.IPv6.isValid(address)) return false
  return ip.IPv6.parse(address).match(ip.IPv6.parse(base), prefix)
}

/** Whether every address of a network lies in another one. */
export function isWithin(network: Network, wider: Network): boolean {
  return network.prefix >= wider.prefix && networkHas(wider, network.address)
}

function numberOf(dotted: string): number {
  let number = 0
  for (const part of dotted.split('.')) number = (number << 8) | Number(part)
  return number
}

/** @param address canonical */
export function familyOf(address: string): 'ipv4' | 'ipv6' {
  return address.includes(':') ? 'ipv6' : 'ipv4'
}
