//! What a service's methods take and give: from `.proto` files, or from the server itself (reflection).

use data_encoding::BASE64;
use meshproof_proto::grpc::descriptions::{Undescribed, described};
use meshproof_proto::order::Held;
use prost_reflect::prost::Message as _;
use prost_reflect::prost_types::FileDescriptorProto;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, MethodDescriptor, SerializeOptions};
use protox::file::File;
use serde_json::{Value, json};

use super::super::answer::{CallError, ErrorKind};
use super::wire::{Replied, Server, framed};
use crate::limits;

/// Both have the same messages; many servers know only the older one.
const REFLECTIONS: [&str; 2] = ["grpc.reflection.v1", "grpc.reflection.v1alpha"];

const REFLECTION: &str = include_str!("reflection.proto");

/// Descriptions that one service may need; a server that sends more does not describe a service.
const FILES: usize = 512;

/// The method that a call names, as far as it is known.
#[derive(Debug)]
pub(super) enum Named {
    Known(MethodDescriptor),
    /// The server describes itself, and this is not there.
    Absent(String),
}

/// Looks for the method that a call names. One that the order's files do not have is a mistake of the order; one that the server does
/// not have may be what the plan wants to see.
pub(super) async fn method(
    server: &mut Server<'_>,
    protos: &[Held],
    (service, name): (&str, &str),
) -> Result<Named, CallError> {
    if !protos.is_empty() {
        let order = |why: String| CallError::new(ErrorKind::Order, why);
        let pool = compiled(protos).map_err(order)?;
        return find(&pool, service, name).map(Named::Known).map_err(order);
    }
    Ok(match reflected(server, service).await? {
        Reflected::Described(pool) => find(&pool, service, name).map_or_else(Named::Absent, Named::Known),
        Reflected::Unknown(why) => Named::Absent(format!("there is no service `{service}`: {why}")),
    })
}

fn find(pool: &DescriptorPool, service: &str, name: &str) -> Result<MethodDescriptor, String> {
    let known = || pool.services().map(|service| service.full_name().to_owned()).collect::<Vec<_>>().join(", ");
    let found = pool.get_service_by_name(service);
    let found = found.ok_or_else(|| format!("there is no service `{service}` among {}", known()))?;
    let method = found.methods().find(|method| method.name() == name);
    method.ok_or_else(|| {
        let known: Vec<_> = found.methods().map(|method| method.name().to_owned()).collect();
        format!("`{service}` has no method `{name}`; it has {}", known.join(", "))
    })
}

/// The bytes of a message that is given as JSON.
pub(crate) fn encoded(kind: MessageDescriptor, json: &Value) -> Result<Vec<u8>, String> {
    let name = kind.full_name().to_owned();
    let message = DynamicMessage::deserialize(kind, json).map_err(|error| format!("{json} is no {name}: {error}"))?;
    Ok(message.encode_to_vec())
}

/// A message as JSON: fields that are not set have their defaults, 64-bit numbers stay numbers.
pub(crate) fn decoded(kind: MessageDescriptor, bytes: &[u8]) -> Result<Value, String> {
    let name = kind.full_name().to_owned();
    let message = DynamicMessage::decode(kind, bytes).map_err(|error| format!("what came is no {name}: {error}"))?;
    let options = SerializeOptions::new().stringify_64_bit_integers(false).skip_default_fields(false);
    message.serialize_with_options(serde_json::value::Serializer, &options).map_err(|error| error.to_string())
}

/// What files of an order describe.
pub(crate) fn compiled(protos: &[Held]) -> Result<DescriptorPool, String> {
    let files = protos.iter().map(|held| (held.path().unwrap_or(&held.name).to_owned(), held.text.clone()));
    described(files.collect()).map_err(|Undescribed { name, error, .. }| format!("{name}: {error}"))
}

/// What a server says about itself.
enum Reflected<Of> {
    Described(Of),
    /// It knows no such name, in its words.
    Unknown(String),
}

/// How a server says that it has no such thing: the code of gRPC, as a number where it stands in an answer.
const NOT_FOUND: (&str, i64) = ("NOT_FOUND", 5);

/// Asks the server for the description of a service, and for all that it imports.
async fn reflected(server: &mut Server<'_>, service: &str) -> Result<Reflected<DescriptorPool>, CallError> {
    let mut files: Vec<FileDescriptorProto> = Vec::new();
    let mut bytes = 0;
    let mut wanted = vec![json!({"fileContainingSymbol": service})];
    while let Some(request) = wanted.pop() {
        let described = match ask(server, &request).await? {
            Reflected::Described(described) => described,
            Reflected::Unknown(why) if files.is_empty() => return Ok(Reflected::Unknown(why)),
            Reflected::Unknown(why) => return Err(unusable(why)),
        };
        for file in described {
            bytes += file.encoded_len();
            if files.len() >= FILES || bytes > limits::BODY_BYTES {
                let message =
                    format!("reflection gave {} files and {bytes} bytes, which describe no service", files.len());
                return Err(CallError::new(ErrorKind::TooLarge, message));
            }
            if files.iter().all(|known| known.name() != file.name()) {
                files.push(file);
            }
        }
        if wanted.is_empty() {
            let missing = files.iter().flat_map(|file| &file.dependency);
            let missing = missing.filter(|name| files.iter().all(|known| known.name() != *name));
            wanted.extend(missing.take(1).map(|name| json!({"fileByFilename": name})));
        }
    }
    let mut pool = DescriptorPool::new();
    let added = pool.add_file_descriptor_protos(files);
    added.map_err(|error| CallError::new(ErrorKind::Protocol, format!("reflection: {error}")))?;
    Ok(Reflected::Described(pool))
}

fn unusable(why: String) -> CallError {
    CallError::new(ErrorKind::Order, format!("reflection: {why}; or give `proto: FILE`"))
}

async fn ask(server: &mut Server<'_>, request: &Value) -> Result<Reflected<Vec<FileDescriptorProto>>, CallError> {
    let own = DescriptorPool::from_file_descriptor_set(protox_of_reflection()).expect("our own description is good");
    let kind = |name: &str| own.get_message_by_name(name).expect("our own description has it");
    let body = encoded(kind("meshproof.reflection.Request"), request).expect("our own request fits");
    let mut replied = Replied::default();
    for version in REFLECTIONS {
        let path = format!("/{version}.ServerReflection/ServerReflectionInfo");
        replied = server.call(&path, Vec::new(), framed(std::slice::from_ref(&body))).await?;
        if replied.code != "UNIMPLEMENTED" {
            break;
        }
    }
    // Some end the call so, others say it in an answer.
    if replied.code == NOT_FOUND.0 {
        return Ok(Reflected::Unknown(replied.message));
    }
    if replied.code != "OK" {
        return Err(unusable(format!("{} {}", replied.code, replied.message)));
    }
    let Some(answer) = replied.messages.first() else { return Err(unusable("no answer".to_owned())) };
    let answer = decoded(kind("meshproof.reflection.Response"), answer).map_err(unusable)?;
    let error = &answer["errorResponse"];
    if let Some(message) = error["errorMessage"].as_str() {
        let message = message.to_owned();
        let is_unknown = error["errorCode"].as_i64() == Some(NOT_FOUND.1);
        return if is_unknown { Ok(Reflected::Unknown(message)) } else { Err(unusable(message)) };
    }
    let files = answer["fileDescriptorResponse"]["fileDescriptorProto"].as_array().cloned().unwrap_or_default();
    let file = |file: &Value| {
        let bytes = BASE64.decode(file.as_str()?.as_bytes()).ok()?;
        FileDescriptorProto::decode(bytes.as_slice()).ok()
    };
    let files: Option<Vec<_>> = files.iter().map(file).collect();
    files.map(Reflected::Described).ok_or_else(|| unusable("an answer that is no description".to_owned()))
}

fn protox_of_reflection() -> prost_reflect::prost_types::FileDescriptorSet {
    let file = File::from_source("reflection.proto", REFLECTION).expect("our own description is good");
    prost_reflect::prost_types::FileDescriptorSet { file: vec![file.file_descriptor_proto().clone()] }
}
