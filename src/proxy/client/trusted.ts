/**
 * The proxies in front whose X-Forwarded-* headers are trusted.
 */
import { BlockList } from 'node:net'
import { UNIX_PEER } from '../../rules/http/exchange.ts'
import { familyOf, readNetwork } from '../../rules/patterns/address.ts'

/**
 * Whether an address is one of a list of addresses and networks.
 * @param entries such as `10.0.0.0/8`, `::1`, and `unix` for peers on a Unix socket
 * @returns the test, for canonical addresses
 * @throws {RangeError} for an entry that is neither an address nor a network
 */
export function trustedAddresses(entries: readonly string[]): (address: string) => boolean {
  if (entries.length === 0) return () => false
  const list = new BlockList()
  const trustsUnix = entries.includes(UNIX_PEER)
  for (const entry of entries) {
    if (entry === UNIX_PEER) continue
    const network = readNetwork(entry)
    if (network === null) throw new RangeError(`invalid address or network '${entry}' (such as 10.0.0.0/8, ::1, unix)`)
    list.addSubnet(network.address, network.prefix, network.family)
  }
  return (address) => (address === UNIX_PEER ? trustsUnix : list.check(address, familyOf(address)))
}
