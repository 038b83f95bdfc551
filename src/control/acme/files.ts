/**
 * Storage for accounts and certificates, and which process orders: one folder, or one folder per instance of a cluster.
 */
import type { Challenge } from './order.ts'

/** Files by name. One process is their owner: it orders and writes. */
export interface AcmeFiles {
  /** Where they are, for the log. */
  readonly name: string
  readonly isOwner: boolean
  /** Who is the owner instead; for the log. */
  readonly owner: string
  /** Why this process can't become the owner, or null. */
  readonly problem: string | null
  /**
   * Creates the storage, and becomes the owner if nobody else is.
   * @throws {Error} it can't be created or locked
   */
  take(): Promise<void>
  /** @returns null if the file is missing or can't be read */
  read(file: string): Promise<Buffer | null>
  /** Replaces a file durably. @throws {Error} */
  write(file: string, text: string): Promise<void>
  /** Renames a file that can't be used, for the operator to inspect. */
  setAside(file: string): Promise<void>
  /** Tells the other processes the challenge of the current order. Resolves when all that can answer it do. @param challenge null when the order has ended */
  tell(challenge: Challenge | null): Promise<void>
  /** The challenge of the owner's current order, or null. */
  heard(): Promise<Challenge | null>
  /** This process now answers the challenge it has heard last. */
  answering(): void
  /** Calls `listener` when the owner has written a file or told a challenge. */
  onNews(listener: () => void): void
  close(): Promise<void>
}
