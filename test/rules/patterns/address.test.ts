/** Addresses as peers, proxies and operators write them, and the one form that they are compared in. */
import { BlockList, isIP } from 'node:net'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { clientOf, familyOf, readAddress, readHop, readNetwork } from '../../../src/rules/patterns/address.ts'

test.each([
  ['203.0.113.7', '203.0.113.7'],
  ['0.0.0.0', '0.0.0.0'],
  ['255.255.255.255', '255.255.255.255'],
  ['2001:DB8:0:0:0:0:0:1', '2001:db8::1'],
  ['2001:0db8::0001', '2001:db8::1'],
  ['::1', '::1'],
  ['::', '::'],
  ['::ffff:203.0.113.7', '203.0.113.7'],
  ['::FFFF:cb00:7107', '203.0.113.7'],
  ['0:0:0:0:0:ffff:203.0.113.7', '203.0.113.7'],
  ['64:ff9b::1.2.3.4', '64:ff9b::102:304'],
  ['fe80::1%eth0', 'fe80::1'],
])('%s is the address %s', (text, address) => {
  expect(readAddress(text)).toBe(address)
})

test.each([
  '',
  'localhost',
  '1.2.3',
  '1.2.3.4.',
  '.1.2.3.4',
  '1.2.3.4.5',
  '256.1.1.1',
  '010.0.0.1',
  '0x7f.0.0.1',
  '2130706433',
  '1::2::3',
  ':::1',
  '[::1]',
  '1.2.3.4:80',
  ' 1.2.3.4',
  '::1 ',
  'unknown',
])('%j is no address', (text) => {
  expect(readAddress(text)).toBeNull()
})

test.each([
  ['203.0.113.7:50000', '203.0.113.7'],
  ['[2001:DB8::1]:443', '2001:db8::1'],
  ['[2001:db8::1]', '2001:db8::1'],
  ['"[2001:db8::1]:4711"', '2001:db8::1'],
  ['"203.0.113.7:80"', '203.0.113.7'],
  ['[::ffff:203.0.113.7]:80', '203.0.113.7'],
  ['::ffff:203.0.113.7:80', '203.0.113.7'],
  ['2001:db8::1', '2001:db8::1'],
  ['203.0.113.7', '203.0.113.7'],
  ['unknown', null],
  ['_hidden', null],
  ['203.0.113.7:', null],
  ['203.0.113.7:http', null],
  ['[203.0.113.7', null],
  ['203.0.113.I:443', null],
])('the hop %s is %j', (text, address) => {
  expect(readHop(text)).toBe(address)
})

describe('the client behind proxies', () => {
  const trusted = (address: string) => address.startsWith('10.') || address === '2001:db8::5'
  test.each([
    ['203.0.113.7', '203.0.113.7'],
    ['203.0.113.7:50000, 10.0.0.5:443', '203.0.113.7'],
    ['198.51.100.1, 203.0.113.7, 10.0.0.5', '203.0.113.7'],
    ['203.0.113.7, ::ffff:10.0.0.5, [2001:DB8:0::5]:8443', '203.0.113.7'],
    ['203.0.113.7,, ', '203.0.113.7'],
    ['10.0.0.9, 10.0.0.5', '10.0.0.9'],
    ['', '10.0.0.1'],
    ['203.0.113.7, unknown', '10.0.0.1'],
    ['203.0.113.7, unknown, 10.0.0.5', '10.0.0.5'],
  ])('of %j is %s', (forwardedFor, client) => {
    expect(clientOf(forwardedFor, '10.0.0.1', trusted)).toBe(client)
  })
})

test.each([
  ['10.0.0.0/8', '10.255.0.1', true],
  ['10.0.0.0/8', '11.0.0.1', false],
  ['10.0.0.1', '10.0.0.1', true],
  ['::1', '::1', true],
  ['[::1]', '::1', true],
  ['2001:DB8::/32', '2001:db8:1::1', true],
  ['::ffff:10.0.0.0/104', '10.1.2.3', true],
  ['::ffff:10.0.0.0/104', '11.1.2.3', false],
  ['0.0.0.0/0', '203.0.113.7', true],
])('the network %s and %s: %s', (text, address, inside) => {
  const network = readNetwork(text)!
  const list = new BlockList()
  list.addSubnet(network.address, network.prefix, network.family)
  expect(list.check(address, familyOf(address))).toBe(inside)
})

test.each(['', '/8', '10.0.0.0/33', '10.0.0.0/', '10.0.0.0/x', '10.0/8', '::/129', '::ffff:10.0.0.0/95', 'localhost'])(
  '%j is no network',
  (text) => {
    expect(readNetwork(text)).toBeNull()
  },
)

test('however an address is written it is one, with and without port and brackets, and canonical forms stay', () => {
  fc.assert(
    fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), fc.integer({ min: 1, max: 65_535 }), (text, port) => {
      const address = readAddress(text)!
      expect(isIP(address)).not.toBe(0)
      expect(readAddress(address)).toBe(address)
      if (text.includes(':')) {
        expect(readAddress(text.toUpperCase())).toBe(address)
        expect([readHop(`[${text}]`), readHop(`[${text}]:${port}`)]).toEqual([address, address])
      } else {
        expect([readHop(`${text}:${port}`), readAddress(`::ffff:${text}`)]).toEqual([address, address])
      }
    }),
  )
})

test('no text makes it throw, and what is read is an address for node too', () => {
  const piece = fc.constantFrom('::', ':', '.', '[', ']', '"', '%', '/', '1', 'ff', '255', '10.0.0.1', '0x')
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.array(piece).map((pieces) => pieces.join('')),
      ),
      (text) => {
        for (const address of [readAddress(text), readHop(text), readNetwork(text)?.address ?? null]) {
          if (address !== null) expect(isIP(address)).toBe(address.includes(':') ? 6 : 4)
        }
      },
    ),
    { numRuns: 2_000 },
  )
})
