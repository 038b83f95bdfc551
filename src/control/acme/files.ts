/**
 * Where what an authority has given is kept, and who orders: a folder, or a folder of each instance of a cluster.
 */
import type { Challenge } from './order.ts'

/** Files by name, of which one process is the owner: it orders, and writes. */
export interface AcmeFiles {
  /** What they are in, for the log. */
  readonly name: string
  readonly isOwner: boolean
  /** Who orders instead; for the log. */
  readonly owner: string
  /** Why nobody can become the owner, or null. */
  readonly problem: string | null
  /**
   * Makes what they are in, and becomes the owner where nobody else is.
   * @throws {Error} it can't be made or locked
   */
  take(): Promise<void>
  /** @returns null if there is none, or none that can be read */
  read(file: string): Promise<Buffer | null>
  /** Replaces a file, which is on the disk then. @throws {Error} */
  write(file: string, text: string): Promise<void>
  /** Moves a file aside that can't be used, for the operator to look at. */
  setAside(file: string): Promise<void>
  /** Tells the others of the challenge of the open order. Resolves when all that can answer it do. @param challenge null when it is over */
  tell(challenge: Challenge | null): Promise<void>
  /** The challenge of the open order of the owner, or null. */
  heard(): Promise<Challenge | null>
  /** This process answers what it has heard last. */
  answering(): void
  /** Calls `listener` when the owner has written or told something. */
  onNews(listener: () => void): void
  close(): Promise<void>
}
