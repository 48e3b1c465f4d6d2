//! What can be done to a service, and how much of it a session must survive.

use std::{fmt, time::Duration};

use fastrand::Rng;

/// How long a worker may be silent before others take its sessions over, in seconds. As short as a busy machine allows.
pub(crate) const PATIENCE: u32 = 4;

/// What is done to the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// The server, or the one process that is everything, is killed.
    KillServer,
    /// The same is frozen for longer than a worker may be silent, and woken.
    FreezeServer,
    /// A worker is killed.
    KillWorker,
    /// Process 1 of a sandbox is killed.
    KillHand,
    /// The process that makes a worker's sandboxes is killed.
    KillZygote,
    /// The database is killed, all its processes at once.
    KillDatabase,
    /// The database is frozen, all its processes at once, for longer than a worker may be silent, and woken.
    FreezeDatabase,
    /// The database is shut down for some seconds.
    StopDatabase,
    /// Nothing passes between a worker and the database for longer than the worker may be silent.
    CutNetwork,
    /// Little passes between a worker and the database.
    SlowNetwork,
    /// A worker is frozen for longer than it may be silent, and woken.
    FreezeWorker,
    /// A worker is asked to end, and has to hand its sessions over.
    Drain,
    /// The disk of what is one process, or of the workers, is full for some seconds.
    FillDisk,
}

impl Fault {
    /// What is done to a service of many processes around one database.
    pub(crate) const OF_SERVICE: [Self; 13] = [
        Self::KillServer,
        Self::FreezeServer,
        Self::KillWorker,
        Self::KillHand,
        Self::KillZygote,
        Self::KillDatabase,
        Self::FreezeDatabase,
        Self::StopDatabase,
        Self::CutNetwork,
        Self::SlowNetwork,
        Self::FreezeWorker,
        Self::Drain,
        Self::FillDisk,
    ];
    /// What is done to a service that is one process with its store in a directory.
    pub(crate) const OF_ONE: [Self; 6] =
        [Self::KillServer, Self::FreezeServer, Self::KillHand, Self::KillZygote, Self::Drain, Self::FillDisk];

    /// The same where there is no disk that can be full, which is the last of them.
    pub(crate) const fn without_disk(all: &'static [Self]) -> &'static [Self] {
        match all {
            [others @ .., Self::FillDisk] => others,
            all => all,
        }
    }

    /// Whether a session that is worked on may count it as one worker more that it was lost with.
    pub(crate) const fn costs_workers(self) -> bool {
        match self {
            Self::KillServer
            | Self::FreezeServer
            | Self::KillWorker
            | Self::KillHand
            | Self::KillZygote
            | Self::KillDatabase
            | Self::FreezeDatabase
            | Self::StopDatabase
            | Self::CutNetwork
            | Self::SlowNetwork
            | Self::FreezeWorker
            | Self::FillDisk => true,
            Self::Drain => false,
        }
    }

    /// How long it lasts, drawn from the seed.
    pub(crate) fn lasts(self, dice: &mut Rng) -> Duration {
        let patience = u64::from(PATIENCE) * 1000;
        let millis = match self {
            Self::KillServer | Self::KillWorker | Self::KillDatabase => dice.u64(0..1_500),
            Self::StopDatabase | Self::FillDisk => dice.u64(2_000..4_000),
            Self::CutNetwork | Self::FreezeServer | Self::FreezeWorker => patience + dice.u64(1_000..3_000),
            // Sometimes for longer than anybody waits for a connection.
            Self::FreezeDatabase => patience + dice.u64(1_000..8_000),
            Self::SlowNetwork => dice.u64(3_000..6_000),
            Self::KillHand | Self::KillZygote | Self::Drain => 0,
        };
        Duration::from_millis(millis)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::KillServer => "server killed",
            Self::FreezeServer => "server frozen",
            Self::KillWorker => "worker killed",
            Self::KillHand => "process 1 of a sandbox killed",
            Self::KillZygote => "zygote killed",
            Self::KillDatabase => "database killed",
            Self::FreezeDatabase => "database frozen",
            Self::StopDatabase => "database away",
            Self::CutNetwork => "network cut",
            Self::SlowNetwork => "network slow",
            Self::FreezeWorker => "worker frozen",
            Self::Drain => "asked to end",
            Self::FillDisk => "disk full",
        })
    }
}
