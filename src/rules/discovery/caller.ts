/**
 * Who calls, as coarsely as an operator needs to find the team behind it: the product of the User-Agent, and the network.
 */
import { fieldValue, type RequestView } from '../http/exchange.ts'

/** A caller. Both are short and printable. */
export interface Caller {
  /** The first product of the User-Agent (RFC 9110 section 10.1.5) without its version; `-` without one. */
  readonly agent: string
  /** The network of the address: /24 of IPv4, /48 of IPv6; the address's kind where it has none. */
  readonly network: string
}

const MAX_AGENT = 40
const PRODUCT = /^[\w!#$%&'*+.^`|~-]{1,40}/

/** Who has sent a request. */
export function callerOf({ rawHeaders, clientAddress }: Pick<RequestView, 'rawHeaders' | 'clientAddress'>): Caller {
  return { agent: agentOf(fieldValue(rawHeaders, 'user-agent')), network: networkOf(clientAddress) }
}

function agentOf(value: string | undefined): string {
  if (value === undefined) return '-'
  const product = PRODUCT.exec(value.slice(0, MAX_AGENT))?.[0]
  // A product that is a number or an address says nothing, and may be a value.
  return product !== undefined && /^[A-Za-z]/.test(product) ? product : '-'
}

function networkOf(address: string): string {
  if (address.includes(':')) {
    const groups = expanded(address)
    return groups === null ? '-' : `${groups.slice(0, 3).join(':')}::/48`
  }
  const last = address.lastIndexOf('.')
  return last === -1 ? address.slice(0, MAX_AGENT) || '-' : `${address.slice(0, last)}.0/24`
}

/** The eight groups of an IPv6 address in canonical form. */
function expanded(address: string): string[] | null {
  const [head = '', tail] = address.split('::')
  const [before, after] = [groupsOf(head), groupsOf(tail ?? '')]
  if (tail === undefined) return before.length >= 3 ? before : null
  return [...before, ...Array.from({ length: Math.max(0, 8 - before.length - after.length) }, () => '0'), ...after]
}

function groupsOf(text: string): string[] {
  return text === '' ? [] : text.split(':')
}
