/**
 * The ways to put middleware around the proxy: `serve --middleware`, with and without workers, and `strangle()` in a Koa
 * application. Each runs the same middleware module.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo, Server as NetServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import Koa, { type Middleware } from 'koa'
import type { StrangleOptions } from '../../src/embedding.ts'
import { strangle } from '../../src/mount.ts'
import { startBanyan, tableFor } from '../support/banyan.ts'

/** A proxy behind middleware. */
export interface Mounted {
  readonly port: number
  stop(): Promise<void>
}

/** What a way starts with: the text of routes.yaml and that of a module that exports middleware. */
export interface MountOptions {
  readonly table: string
  readonly middleware: string
}

/** A folder with a table and a middleware module. */
function folderWith({ table, middleware }: MountOptions): { folder: string; tableFile: string; file: string } {
  const folder = mkdtempSync(join(tmpdir(), 'banyan-mount-'))
  const tableFile = join(folder, 'routes.yaml')
  const file = join(folder, 'middleware.mjs')
  writeFileSync(tableFile, table)
  writeFileSync(file, middleware)
  return { folder, tableFile, file }
}

async function served(options: MountOptions, workers: string): Promise<Mounted> {
  const { folder, file } = folderWith(options)
  const banyan = await startBanyan({ table: options.table, args: ['--middleware', file, '--workers', workers] })
  return {
    port: banyan.port,
    stop: async () => {
      await banyan.stop()
      rmSync(folder, { recursive: true })
    },
  }
}

async function strangled(options: MountOptions): Promise<Mounted> {
  const { folder, tableFile, file } = folderWith(options)
  const { default: middleware } = (await import(pathToFileURL(file).href)) as { default: Middleware[] }
  const app = new Koa()
  app.silent = true
  for (const one of middleware) app.use(one)
  const proxy = strangle({ table: tableFile, application: app })
  app.use(proxy)
  const server = createServer(app.callback())
  server.on('upgrade', proxy.upgrade)
  const port = await listening(server)
  return {
    port,
    stop: async () => {
      await closed(server)
      await proxy.close()
      rmSync(folder, { recursive: true })
    },
  }
}

const WAYS: readonly (readonly [name: string, start: (options: MountOptions) => Promise<Mounted>])[] = [
  ['serve --middleware', (options) => served(options, '0')],
  ['serve --middleware with workers', (options) => served(options, '2')],
  ['strangle() in Koa', strangled],
]

/** Starts each way, one after the other: together they would take each other's time on a busy machine. */
export async function startAll(options: MountOptions): Promise<{ name: string; proxy: Mounted }[]> {
  const started: { name: string; proxy: Mounted }[] = []
  for (const [name, start] of WAYS) started.push({ name, proxy: await start(options) })
  return started
}

/** `strangle()` on a table of one upstream, in a folder of its own that goes with `close`. */
export function strangleFor(port: number, options: Omit<StrangleOptions, 'table'> = {}): ReturnType<typeof strangle> {
  const { folder, tableFile } = folderWith({ table: tableFor(port), middleware: '' })
  const proxy = strangle({ table: tableFile, ...options })
  const { close } = proxy
  return Object.assign(proxy, {
    close: async () => {
      await close()
      rmSync(folder, { recursive: true })
    },
  })
}

/** @returns the port, on 127.0.0.1 */
export async function listening(server: NetServer): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()))
  return (server.address() as AddressInfo).port
}

export async function closed(server: Server): Promise<void> {
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
}
