//! The wire between our services and nothing else: generated messages, and the only place where a peer's
//! bytes become domain types ([`convert`]).
#![allow(clippy::wildcard_enum_match_arm)]

/// Words shared by every service.
pub mod media {
    /// Version 1.
    #[allow(clippy::all, missing_docs)]
    pub mod v1 {
        tonic::include_proto!("media.v1");
    }
}
/// Speech in, speech out.
pub mod dub {
    /// Version 1.
    #[allow(clippy::all, missing_docs)]
    pub mod v1 {
        tonic::include_proto!("dub.v1");
    }
}
/// Workers.
pub mod edge {
    /// Version 1.
    #[allow(clippy::all, missing_docs)]
    pub mod v1 {
        tonic::include_proto!("edge.v1");
    }
}
/// Streams.
pub mod orchestrator {
    /// Version 1.
    #[allow(clippy::all, missing_docs)]
    pub mod v1 {
        tonic::include_proto!("orchestrator.v1");
    }
}

pub mod convert;
pub mod status;

/// Descriptors of all services, for reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptor.bin"));
/// Descriptors that make `google.rpc` error details readable for grpcurl.
pub const ERROR_DETAILS_DESCRIPTOR_SET: &[u8] = tonic_types::pb::FILE_DESCRIPTOR_SET;
