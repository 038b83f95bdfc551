/**
 * Style sheet, logo, and product images: the bar code of the GTIN as a bitmap, with validators and byte ranges.
 */
import { BASE_DAY } from './catalog.ts'
import { notModified, sendRanged } from './conditional.ts'
import type { Exchange, Field } from './exchange.ts'
import { productByGtin } from './pages.ts'
import type { Route } from './router.ts'
import { DAY_MS } from './units.ts'

/** The routes of this family. */
export const assetRoutes: readonly Route[] = [
  { path: '/images/:gtin.bmp', methods: { GET: image } },
  { path: '/static/logo.bmp', methods: { GET: (x) => asset(x, 'image/bmp', barcode('012345678905')) } },
  { path: '/static/catalog.css', methods: { GET: (x) => asset(x, 'text/css', STYLES) } },
]

const STYLES = Buffer.from('body { font-family: Arial, Helvetica }\ntd { padding: 2px }\na { color: #003399 }\n')

function asset(x: Exchange, type: string, bytes: Buffer): void {
  const fields: Field[] = [['Cache-Control', 'public, max-age=86400']]
  const validators = { etag: `"${bytes.length.toString(16)}-7200"`, modifiedMs: BASE_DAY * DAY_MS }
  if (notModified(x, validators, fields)) return
  sendRanged(x, type, bytes, validators, fields)
}

function image(x: Exchange): void {
  const { gtin, sku } = productByGtin(x, x.params.gtin ?? '')
  const fields: Field[] = [['Cache-Control', 'public, max-age=86400']]
  const validators = { etag: `"img-${sku}"`, modifiedMs: BASE_DAY * DAY_MS }
  if (notModified(x, validators, fields)) return
  sendRanged(x, 'image/bmp', barcode(gtin), validators, fields)
}

// UPC-A: seven modules a digit, dark ones as 1; the right half is the left one's inverse.
const LEFT = '0001101 0011001 0010011 0111101 0100011 0110001 0101111 0111011 0110111 0001011'.split(' ')

const MODULE_PX = 2
const QUIET_MODULES = 9
const HEIGHT_PX = 100
const HEADER_BYTES = 54
const PALETTE_BYTES = 8

/** The bar code of 12 digits as an 8-bit bitmap of two colours, about 22 KiB. */
export function barcode(gtin: string): Buffer {
  const row = Buffer.from(modulesOf(gtin).flatMap((dark) => new Array<number>(MODULE_PX).fill(dark ? 0 : 1)))
  const stride = Math.ceil(row.length / 4) * 4
  const start = HEADER_BYTES + PALETTE_BYTES
  const file = Buffer.alloc(start + stride * HEIGHT_PX)
  file.write('BM', 'latin1')
  file.writeUInt32LE(file.length, 2)
  file.writeUInt32LE(start, 10)
  file.writeUInt32LE(40, 14)
  file.writeInt32LE(row.length, 18)
  file.writeInt32LE(HEIGHT_PX, 22)
  file.writeUInt16LE(1, 26)
  file.writeUInt16LE(8, 28)
  file.writeUInt32LE(stride * HEIGHT_PX, 34)
  file.writeUInt32LE(PALETTE_BYTES / 4, 46)
  file.writeUInt32LE(0xffffff, HEADER_BYTES + 4)
  for (let y = 0; y < HEIGHT_PX; y++) row.copy(file, start + y * stride)
  return file
}

function modulesOf(gtin: string): boolean[] {
  const digit = (at: number): string => LEFT[Number(gtin[at])] ?? ''
  const left = [0, 1, 2, 3, 4, 5].map(digit).join('')
  const right = [6, 7, 8, 9, 10, 11]
    .map(digit)
    .join('')
    .replace(/./g, (bit) => (bit === '1' ? '0' : '1'))
  const quiet = '0'.repeat(QUIET_MODULES)
  return [...`${quiet}101${left}01010${right}101${quiet}`].map((bit) => bit === '1')
}
