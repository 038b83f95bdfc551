/**
 * Test helpers: exact bytes to a loopback socket and back, the seed product, and a service over a source made of a list.
 */
import { connect, type Socket } from 'node:net'
import { onTestFinished } from 'vitest'
import type { ProductSource } from '../../gtin-service/data.ts'
import type { Product } from '../../gtin-service/product.ts'
import { type ServiceOptions, startGtinService } from '../../gtin-service/service.ts'
import { SEED } from '../support/gtin-data.ts'

export { SEED }

/** A source that holds just these products and is always well. */
export function sourceOf(products: readonly Product[]): ProductSource {
  const byKey = new Map(products.map((product) => [product.key, product]))
  return { find: (key) => byKey.get(key) ?? null, trouble: () => null, facts: () => null, close: () => {} }
}

/** A service named `node-1` over the seed product, closed when the test ends. */
export async function serve(options: Partial<ServiceOptions> = {}) {
  const service = await startGtinService({ name: 'node-1', source: sourceOf([SEED]), drainTimeoutMs: 0, ...options })
  onTestFinished(() => service.close())
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
