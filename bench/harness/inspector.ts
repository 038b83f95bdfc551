/**
 * The heap of a running Node process after a full collection, asked through its inspector (started with `--inspect`).
 */

/** What a Node process holds after garbage collection, in bytes. */
export interface HeapUse {
  readonly heapBytes: number
  /** Memory of buffers and the like, outside the heap. */
  readonly externalBytes: number
}

const ANSWER_TIMEOUT_MS = 20_000

/** The inspector's address in what a process printed. Throws where it has printed none. */
export function inspectorUrl(output: string): string {
  const url = /Debugger listening on (ws:\S+)/.exec(output)?.[1]
  if (url === undefined) throw new Error('the process has no inspector')
  return url
}

/** Collects all garbage of a process and returns what is left. Closes its connection before it returns. */
export async function heapAfterCollection(url: string): Promise<HeapUse> {
  const socket = new WebSocket(url)
  try {
    await opened(socket)
    // Twice: what finalizers of the first run let go is gone after the second.
    await ask(socket, 1, 'HeapProfiler.collectGarbage', {})
    await ask(socket, 2, 'HeapProfiler.collectGarbage', {})
    const expression = 'JSON.stringify(process.memoryUsage())'
    const answer = (await ask(socket, 3, 'Runtime.evaluate', { expression })) as { result: { value: string } }
    const usage = JSON.parse(answer.result.value) as NodeJS.MemoryUsage
    return { heapBytes: usage.heapUsed, externalBytes: usage.external }
  } finally {
    const closed = new Promise((resolve) => socket.addEventListener('close', resolve, { once: true }))
    socket.close()
    await closed
  }
}

function opened(socket: WebSocket): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.addEventListener('open', () => resolve(), { once: true })
    socket.addEventListener('error', () => reject(new Error('the inspector does not answer')), { once: true })
  })
}

function ask(socket: WebSocket, id: number, method: string, params: object): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => finish(() => reject(new Error(`no answer to ${method}`))), ANSWER_TIMEOUT_MS)
    const onClose = (): void => finish(() => reject(new Error(`the inspector closed during ${method}`)))
    const onMessage = (event: MessageEvent): void => {
      const answer = JSON.parse(String(event.data)) as { id?: number; result?: unknown; error?: { message: string } }
      if (answer.id !== id) return
      finish(() => (answer.error ? reject(new Error(`${method}: ${answer.error.message}`)) : resolve(answer.result)))
    }
    const finish = (settle: () => void): void => {
      clearTimeout(late)
      socket.removeEventListener('message', onMessage)
      socket.removeEventListener('close', onClose)
      settle()
    }
    socket.addEventListener('message', onMessage)
    socket.addEventListener('close', onClose)
    socket.send(JSON.stringify({ id, method, params }))
  })
}
