/**
 * Test helpers: exact bytes to a loopback socket and back, the seed product, and a service over a source made of a list.
 */
import { connect, type Socket } from 'node:net'
import { onTestFinished } from 'vitest'
import { type GtinServiceOptions, startGtinService } from '../../gtin-service/service.ts'
import type { GtinSource, Product } from '../../gtin-service/source.ts'

/** The product of the contract. */
export const SEED: Product = {
  key: 123456789012,
  sku: '1234567890',
  size1: 'SMALL',
  size2: '4',
  style: '0123456',
  originalRetail: 14_000,
  recommendRetail: 16_000,
  subdivision: "WOMEN'S SWEATERS",
  class: 'SWEATERS',
  subclass: 'FUZZY (2-4MM)',
  description: 'A warm fuzzy sweater.',
  color: 'FUSCHIA SA',
  supplier: 'iSWEATR',
  prices: [{ store: '3', regularRetail: 12_000, specialRetail: 1_500 }],
}

/** A source that holds just these products and is always well. */
export function sourceOf(products: readonly Product[]): GtinSource {
  const byKey = new Map(products.map((product) => [product.key, product]))
  return { lookup: (key) => byKey.get(key) ?? null, trouble: () => null, close: () => {} }
}

/** A service named `node-1` over the seed product, closed when the test ends. */
export async function serve(options: GtinServiceOptions = {}) {
  const service = await startGtinService({ name: 'node-1', source: sourceOf([SEED]), ...options })
  onTestFinished(() => {
    const closed = service.close()
    service.cut()
    return closed
  })
  return service
}

/** An answer as it came over the wire. Header names in lower case; one value each. */
export interface RawAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** Sends `bytes` on a fresh connection, reads until the peer closes, and gives what came. */
export function exchange(port: number, bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket: Socket = connect(port, '127.0.0.1', () => socket.write(bytes, 'latin1'))
    const chunks: Buffer[] = []
    socket.on('data', (chunk: Buffer) => chunks.push(chunk))
    // A reset after the answer is the peer's right: it refuses to read the rest of garbage.
    socket.on('error', (error) => (chunks.length > 0 ? resolve(Buffer.concat(chunks).toString()) : reject(error)))
    socket.on('close', () => resolve(Buffer.concat(chunks).toString()))
  })
}

/** One request with Connection: close, its fields given as lines, and its answer taken apart. */
export async function ask(port: number, method: string, target: string, fields: string[] = []): Promise<RawAnswer> {
  const lines = [`${method} ${target} HTTP/1.1`, 'Host: gtin.test', 'Connection: close', ...fields]
  return answerOf(await exchange(port, `${lines.join('\r\n')}\r\n\r\n`))
}

/** Takes one answer apart. */
export function answerOf(text: string): RawAnswer {
  const end = text.indexOf('\r\n\r\n')
  const [statusLine = '', ...lines] = text.slice(0, end).split('\r\n')
  const headers: Record<string, string> = {}
  for (const line of lines) headers[line.slice(0, line.indexOf(':')).toLowerCase()] = line.slice(line.indexOf(':') + 2)
  return { status: Number(statusLine.split(' ')[1]), headers, body: text.slice(end + 4) }
}
